// The part of TensorFlow Lite Micro's interface that USE.md's sample uses, declared only: enough to check the sample's
// syntax and types, not to run it.
#ifndef TFLM_STUB_H_
#define TFLM_STUB_H_

#include <cstddef>
#include <cstdint>

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

union TfLitePtrUnion {
  float* f;
  int8_t* int8;
  uint8_t* uint8;
  int16_t* i16;
  int32_t* i32;
  int64_t* i64;
  bool* b;
};

struct TfLiteTensor {
  TfLitePtrUnion data;
};

namespace tflite {
struct Model;
const Model* GetModel(const void* data);

TFLM_OPEN
template <unsigned int size>
class MicroMutableOpResolver {
 public:
  TfLiteStatus AddConv2D();
  TfLiteStatus AddEthosU();
  TfLiteStatus AddDepthwiseConv2D();
  TfLiteStatus AddFullyConnected();
  TfLiteStatus AddMean();
  TfLiteStatus AddSoftmax();
};

class MicroInterpreter {
 public:
  template <typename Resolver>
  MicroInterpreter(const Model* model, const Resolver& resolver, uint8_t* arena, size_t size);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor* input(size_t index);
  TfLiteTensor* output(size_t index);
};
TFLM_CLOSE
}  // namespace tflite

#endif  // TFLM_STUB_H_
