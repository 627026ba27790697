// Stand-in for the part of TFLite Micro's header that exported models use: as there, each operator has one place.
#pragma once

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

#define TF_LITE_ENSURE_STATUS(a)           \
  do {                                     \
    const TfLiteStatus s = (a);            \
    if (s != kTfLiteOk) return s;          \
  } while (0)

namespace tflite {

struct MicroOpResolver {
  unsigned count = 0, places = 0;
};

template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  MicroMutableOpResolver() { places = tOpCount; }
  MicroMutableOpResolver(const MicroMutableOpResolver&) = delete;
  TfLiteStatus AddAdd() { return Append(); }
  TfLiteStatus AddAveragePool2D() { return Append(); }
  TfLiteStatus AddConcatenation() { return Append(); }
  TfLiteStatus AddConv2D() { return Append(); }
  TfLiteStatus AddDepthwiseConv2D() { return Append(); }
  TfLiteStatus AddFullyConnected() { return Append(); }
  TfLiteStatus AddMaxPool2D() { return Append(); }
  TfLiteStatus AddMaximum() { return Append(); }
  TfLiteStatus AddMinimum() { return Append(); }
  TfLiteStatus AddPad() { return Append(); }
  TfLiteStatus AddQuantize() { return Append(); }
  TfLiteStatus AddReshape() { return Append(); }
  TfLiteStatus AddResizeNearestNeighbor() { return Append(); }
  TfLiteStatus AddSoftmax() { return Append(); }

 private:
  TfLiteStatus Append() { return count++ < tOpCount ? kTfLiteOk : kTfLiteError; }
};

}  // namespace tflite
