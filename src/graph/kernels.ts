/**
 * Which operators a device has kernels for. An op that has several ONNX forms chooses by it (`Emitter.kernels`), so that no
 * device has to leave a product to another one. Knows operators, not devices.
 */

export interface Kernels {
  /** `com.microsoft.FusedMatMul`: products that transpose and scale their operands on the way. */
  readonly fusedMatMul: boolean;
  readonly logSoftmax: boolean;
  /** Whether the softmax of a row with NaN or an infinity is NaN. (ONNX Runtime's kernel for WebGPU makes it 0, on purpose.) */
  readonly softmaxOfNaN: boolean;
  /** Conversions of int64, the type of the positions that ArgMax returns. (Sizes in shapes are int64 everywhere.) */
  readonly int64: boolean;
  readonly float64: boolean;
  /** Conversions of float16, the type of words that hold weights of 16 bits. */
  readonly float16: boolean;
}

export const ALL_KERNELS: Kernels = {
  fusedMatMul: true,
  logSoftmax: true,
  softmaxOfNaN: true,
  int64: true,
  float64: true,
  float16: true,
};
