import RealModule
import ScorefieldPaths
import ScorefieldTensorCore

extension Dequantization {
  /// The points at which the density is asked for, `[draws, B, …]`, and what is added to its logarithm, `[draws, B]`.
  func points(
    _ data: Tensor, in scale: GreyLevels, noise kernel: PerturbationKernel, using generator: inout Generator
  ) -> (x: Tensor, gain: Tensor) {
    let shape = [draws] + data.shape
    let half = scale.halfBin
    switch self {
    case .none: return (data.expanded(at: 0), .zeros([1, data.batch]))
    case .uniform:
      let symmetric = 2 * Tensor.uniform(shape, using: &generator) - 1
      return (data.expanded(at: 0) + half * symmetric, .zeros([draws, data.batch]))
    case .truncatedNormal:
      let deviation = kernel.noiseToSignal
      // The probability that the normal distribution stays within the bin.
      let mass = Double.erf(half / (deviation * 2.0.squareRoot()))
      // Neither end of (−1, 1) itself, where the inverse is infinite.
      let symmetric = (2 * Tensor.uniform(shape, using: &generator) - 1).clamped(-1 + 0x1p-53, 1 - 0x1p-53)
      let u = ((deviation * 2.0.squareRoot()) * (mass * symmetric).erfinv()).clamped(-half, half)

      // −log r + log(1/2w), a coordinate.
      let normalizer = Double.log(deviation * (2 * .pi).squareRoot() * mass / (2 * half))
      let surprise = (0.5 / (deviation * deviation)) * u.squared() + normalizer
      let dimension = data.shape.dropFirst().reduce(1, *)
      let gain = surprise.reshaped(draws, data.batch, dimension).sum(-1) + Double(dimension) * .log(kernel.alpha)
      return (kernel.alpha * (data.expanded(at: 0) + u), gain)
    }
  }
}
