/**
 * The element types of tensors, by the names that ONNX Runtime gives them, and their numbers in ONNX files.
 */

/** float16 and uint8 hold frozen weights; no op but those of ops/frozen.ts takes them. */
export type DType = 'float32' | 'int32' | 'int64' | 'bool' | 'float16' | 'uint8';

/** TensorProto.DataType of onnx.proto. No value is float64; ops compute in it between two casts. */
export const ONNX_DATA_TYPE: Readonly<Record<DType | 'float64', number>> = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
};
