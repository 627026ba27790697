// Stand-in for the part of TFLite Micro's header that exported test applications use.
#pragma once

namespace tflite {

inline void InitializeTarget() {}

}  // namespace tflite
