// Stand-in for the part of TFLite Micro's header that exported test applications use.
//
// Its interpreter appends each input to the file given.bin, and reads each output from found.bin. STUB_INPUT_BYTES and
// STUB_OUTPUT_BYTES are their sizes, STUB_ARENA_BYTES is what it needs of an arena. With STUB_SECOND_BYTES, there is a
// second output, whose bytes follow those of the first; with STUB_SECOND_INPUT_BYTES a second input, in the same way.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

#ifndef STUB_SECOND_BYTES
#define STUB_SECOND_BYTES 0
#endif
#ifndef STUB_SECOND_INPUT_BYTES
#define STUB_SECOND_INPUT_BYTES 0
#endif

union TfLitePtrUnion {
  int8_t* int8;
  void* data;
};

struct TfLiteTensor {
  TfLitePtrUnion data;
  std::size_t bytes;
};

namespace tflite {

class MicroInterpreter {
 public:
  MicroInterpreter(const Model* model, const MicroOpResolver& op_resolver, uint8_t* tensor_arena,
                   std::size_t tensor_arena_size)
      : complete_(model != nullptr && op_resolver.count == op_resolver.places),
        aligned_(reinterpret_cast<std::uintptr_t>(tensor_arena) % 16 == 0 &&
                 reinterpret_cast<std::uintptr_t>(model) % 16 == 0),
        arena_bytes_(tensor_arena_size),
        outputs_(std::fopen("found.bin", "rb")) {
    input_.data.data = given_;
    input_.bytes = STUB_INPUT_BYTES;
    second_input_.data.data = second_given_;
    second_input_.bytes = STUB_SECOND_INPUT_BYTES;
    output_.data.data = found_;
    output_.bytes = STUB_OUTPUT_BYTES;
    second_.data.data = found_ + STUB_OUTPUT_BYTES;
    second_.bytes = STUB_SECOND_BYTES;
  }
  TfLiteStatus AllocateTensors() {
    return complete_ && aligned_ && arena_bytes_ >= STUB_ARENA_BYTES ? kTfLiteOk : kTfLiteError;
  }
  TfLiteStatus Invoke() {
    std::FILE* inputs = std::fopen("given.bin", "ab");
    bool written = std::fwrite(given_, 1, STUB_INPUT_BYTES, inputs) == STUB_INPUT_BYTES;
    written &= std::fwrite(second_given_, 1, STUB_SECOND_INPUT_BYTES, inputs) == STUB_SECOND_INPUT_BYTES;
    std::fclose(inputs);
    const bool read = outputs_ != nullptr && std::fread(found_, 1, sizeof(found_), outputs_) == sizeof(found_);
    for (uint8_t& byte : given_) byte = 0;  // as when another tensor uses its memory
    for (uint8_t& byte : second_given_) byte = 0;
    return written && read ? kTfLiteOk : kTfLiteError;
  }
  std::size_t inputs_size() const { return STUB_SECOND_INPUT_BYTES > 0 ? 2 : 1; }
  TfLiteTensor* input(std::size_t index) { return index == 0 ? &input_ : &second_input_; }
  std::size_t outputs_size() const { return STUB_SECOND_BYTES > 0 ? 2 : 1; }
  TfLiteTensor* output(std::size_t index) { return index == 0 ? &output_ : &second_; }
  std::size_t arena_used_bytes() const { return STUB_ARENA_BYTES; }

 private:
  bool complete_, aligned_;
  std::size_t arena_bytes_;
  std::FILE* outputs_;
  TfLiteTensor input_, second_input_, output_, second_;
  alignas(16) uint8_t given_[STUB_INPUT_BYTES];
  alignas(16) uint8_t second_given_[STUB_SECOND_INPUT_BYTES + 1];  // apart from the first, as in an arena
  alignas(16) uint8_t found_[STUB_OUTPUT_BYTES + STUB_SECOND_BYTES];
};

}  // namespace tflite
