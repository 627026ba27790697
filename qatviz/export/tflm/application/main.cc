// Test of @name@ in TFLite Micro: runs the golden inputs, compares the outputs with the golden ones, and prints how much of
// the arena is in use. The exit code is 0 if they agree. It needs neither files nor a heap, so that it runs on a board, too.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "@name@_golden.h"
#include "@name@_model.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {

alignas(16) uint8_t arena[@space@::kArenaBytes];

int Fail(const char* what) {
  MicroPrintf("@name@: %s", what);
  return 1;
}

}  // namespace

int main() {
  using namespace @space@;
  tflite::InitializeTarget();
  const tflite::Model* model = tflite::GetModel(kModel);
  if (model->version() != TFLITE_SCHEMA_VERSION) return Fail("this version of TFLite Micro reads another schema");
  OpResolver operators;
  if (RegisterOperators(operators) != kTfLiteOk) return Fail("an operator can't be registered");
  tflite::MicroInterpreter interpreter(model, operators, arena, sizeof(arena));
  if (interpreter.AllocateTensors() != kTfLiteOk) return Fail("the arena is too small; see kArenaBytes");
  const std::size_t inputs = interpreter.inputs_size(), outputs = interpreter.outputs_size();
  std::size_t input_bytes = 0, output_bytes = 0;
  for (std::size_t n = 0; n < inputs; ++n) input_bytes += interpreter.input(n)->bytes;
  for (std::size_t n = 0; n < outputs; ++n) output_bytes += interpreter.output(n)->bytes;
  if (input_bytes != sizeof(kGoldenInput[0]) || output_bytes != sizeof(kGoldenOutput[0])) {
    return Fail("the golden vectors are those of another model");
  }
  int equal = 0;
  for (int i = 0; i < kGoldenCount; ++i) {
    // Tensors share memory, so that Invoke() may overwrite the inputs.
    const Code* given = kGoldenInput[i];
    for (std::size_t n = 0; n < inputs; ++n) {
      const TfLiteTensor* input = interpreter.input(n);
      std::memcpy(input->data.data, given, input->bytes);
      given += input->bytes / sizeof(Code);
    }
    if (interpreter.Invoke() != kTfLiteOk) return Fail("an operator failed");
    const Code* expected = kGoldenOutput[i];
    for (std::size_t n = 0; n < outputs; ++n) {
      const TfLiteTensor* output = interpreter.output(n);
      const Code* found = static_cast<const Code*>(output->data.data);
      const std::size_t codes = output->bytes / sizeof(Code);
      for (std::size_t k = 0; k < codes; ++k) equal += std::abs(found[k] - *expected++) <= kGoldenTolerance;
    }
  }
  MicroPrintf("@name@: %d of %d golden codes are equal; expected at least %d", equal, kGoldenCount * kOutputCodes,
              kGoldenLeastEqual);
  MicroPrintf("@name@: %d bytes of the arena of %d are in use", static_cast<int>(interpreter.arena_used_bytes()),
              static_cast<int>(sizeof(arena)));
  return equal >= kGoldenLeastEqual ? 0 : 1;
}
