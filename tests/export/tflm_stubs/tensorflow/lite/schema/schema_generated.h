// Stand-in for the part of TFLite's header that exported test applications use.
#pragma once
#include <cstdint>

#define TFLITE_SCHEMA_VERSION (3)

namespace tflite {

struct Model {
  // The file identifier of the schema is at the fifth byte.
  uint32_t version() const { return bytes[4] == 'T' && bytes[5] == 'F' && bytes[6] == 'L' ? bytes[7] - '0' : 0; }
  uint8_t bytes[1];
};

inline const Model* GetModel(const void* buffer) { return static_cast<const Model*>(buffer); }

}  // namespace tflite
