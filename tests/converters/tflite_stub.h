// The part of TensorFlow Lite's C++ interface that USE.md's sample uses, declared only: enough to check the sample's
// syntax and types, not to run it.
#ifndef TFLITE_STUB_H_
#define TFLITE_STUB_H_

#include <memory>

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

namespace tflite {
class FlatBufferModel {
 public:
  static std::unique_ptr<FlatBufferModel> BuildFromFile(const char* path);
};

class Interpreter {
 public:
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  template <typename T>
  T* typed_input_tensor(int index);
  template <typename T>
  T* typed_output_tensor(int index);
};

namespace ops {
namespace builtin {
class BuiltinOpResolver {};
}  // namespace builtin
}  // namespace ops

class InterpreterBuilder {
 public:
  InterpreterBuilder(const FlatBufferModel& model, const ops::builtin::BuiltinOpResolver& resolver);
  TfLiteStatus operator()(std::unique_ptr<Interpreter>* interpreter);
};
}  // namespace tflite

#endif  // TFLITE_STUB_H_
