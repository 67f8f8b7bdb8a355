/**
 * The element types of tensors, by the names that ONNX Runtime gives them.
 */

export type DType = 'float32' | 'int32' | 'int64' | 'bool';
