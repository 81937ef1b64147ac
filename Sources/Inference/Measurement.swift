import ScorefieldFields
import ScorefieldTensorCore

/// What is seen of a sample: `y = A(x₀) + σ_y z`.
public protocol Measurement: Sendable {
  /// `A(x₀)`, `[B, …] → [B, …]`, differentiable.
  func apply(_ x: Tensor) -> Tensor
}

/// A measurement that is linear: its adjoint is its own derivative, transposed.
public protocol LinearMeasurement: Measurement {}

extension LinearMeasurement {
  /// `Aᵀ y` for a sample of a shape.
  ///
  /// - Parameters:
  ///   - y: What was seen, `[B, …]`.
  ///   - x: A batch of the samples' shape; its values do not matter.
  /// - Returns: The shape of `x`.
  public func adjoint(_ y: Tensor, like x: Tensor) -> Tensor { vjp(at: .zeros(like: x), of: apply).pullback(y) }
}

/// The product with a matrix `[m, d]` of the sample as a vector.
public struct MatrixMeasurement: LinearMeasurement {
  public let matrix: Tensor
  public init(_ matrix: Tensor) {
    guard matrix.rank == 2 else { fatalError("MatrixMeasurement(\(matrix.shape)): needs [m, d]") }
    self.matrix = matrix
  }

  public func apply(_ x: Tensor) -> Tensor {
    let rows = x.flattened
    guard rows.shape[1] == matrix.shape[1] else {
      fatalError(
        "MatrixMeasurement.apply(\(x.shape)): the matrix is \(matrix.shape), a sample has \(rows.shape[1]) numbers")
    }
    return rows.matmul(matrix.transposed)
  }
}

/// Some numbers of the sample and not the others: inpainting.
public struct MaskMeasurement: LinearMeasurement {
  /// 1 where a number is seen and 0 elsewhere, in the shape of a sample.
  public let mask: Tensor
  public init(_ mask: Tensor) { self.mask = mask }

  public func apply(_ x: Tensor) -> Tensor {
    guard Array(x.shape.dropFirst()) == mask.shape else {
      fatalError("MaskMeasurement.apply(\(x.shape)): the mask is for samples of shape \(mask.shape)")
    }
    return x * mask.to(x.elementType)
  }
}

/// Means over squares of pixels: super-resolution.
public struct DownsamplingMeasurement: LinearMeasurement {
  /// The length of a square.
  public let factor: Int
  public init(_ factor: Int) {
    guard factor > 0 else { fatalError("DownsamplingMeasurement(\(factor)): must be positive") }
    self.factor = factor
  }

  public func apply(_ x: Tensor) -> Tensor {
    let (height, width) = (x.shape[x.rank - 2], x.shape[x.rank - 1])
    guard x.rank >= 3, height % factor == 0, width % factor == 0 else {
      fatalError("DownsamplingMeasurement.apply(\(x.shape)): images of sides that \(factor) divides")
    }
    return x.reshaped(x.shape.dropLast(2) + [height / factor, factor, width / factor, factor]).mean(-1).mean(-2)
  }
}

/// The convolution of every channel with one kernel, zeros beyond the edge: blur.
public struct BlurMeasurement: LinearMeasurement {
  /// `[k, k]`, `k` odd.
  public let kernel: Tensor
  public init(_ kernel: Tensor) {
    guard kernel.rank == 2, kernel.shape[0] == kernel.shape[1], kernel.shape[0] % 2 == 1 else {
      fatalError("BlurMeasurement(\(kernel.shape)): needs a square of odd length")
    }
    self.kernel = kernel
  }

  public func apply(_ x: Tensor) -> Tensor {
    guard x.rank >= 3 else { fatalError("BlurMeasurement.apply(\(x.shape)): needs images") }
    let (height, width) = (x.shape[x.rank - 2], x.shape[x.rank - 1])
    let size = kernel.shape[0]
    let planes = x.reshaped([x.count / (height * width), 1, height, width])
    return planes.convolved(kernel.to(x.elementType).reshaped([1, 1, size, size]), padding: size / 2).reshaped(x.shape)
  }
}

extension ScoreGuidance {
  /// Diffusion posterior sampling: the likelihood of what was seen, at the estimate in place of the sample.
  ///
  ///     log h(x, t) = −|y − A(x̂₀(x, t))|²/(2 σ_y²)
  ///
  /// The spread of `x₀` about the estimate is left out, so the pull is too strong, the more so the noisier `x` is. What was seen without
  /// noise has no such likelihood; there the steps are as long whatever the error is, `1/σ_y²` being `1/|y − A(x̂₀)|`:
  ///
  ///     log h(x, t) = −|y − A(x̂₀(x, t))|   for σ_y = 0
  ///
  /// - Cost: Two evaluations of the denoiser and one pass back through it.
  /// - Parameters:
  ///   - base: The denoiser.
  ///   - measurement: `A`.
  ///   - observed: `y`, shape `[B, …]` or `[1, …]` for all.
  ///   - deviation: `σ_y`, not negative.
  ///   - scale: What the pull is multiplied by, `ζ` where `σ_y = 0`.
  /// - Returns: The guided denoiser.
  ///
  /// Source: Chung et al. 2023, arXiv:2209.14687, eq. 11, and for `σ_y = 0` the step size of appendix C.2.
  public static func posterior(
    of base: Base, _ measurement: some Measurement, observed: Tensor, deviation: Double, scale: Double = 1
  ) -> ScoreGuidance {
    guard deviation >= 0, deviation.isFinite else {
      fatalError("ScoreGuidance.posterior(deviation: \(deviation)): must be a number from 0")
    }
    return ScoreGuidance(base, scale: scale) { x, t in
      let seen = measurement.apply(base.denoise(x, at: t))
      guard seen.shape.dropFirst() == observed.shape.dropFirst() else {
        fatalError(
          "ScoreGuidance.posterior(observed: \(observed.shape)): a measurement of \(x.shape) has shape \(seen.shape)")
      }
      let square = (seen - observed.to(seen.elementType)).flattened.squared().sum(-1)
      // The root has no slope where what is seen is met.
      return deviation > 0 ? square * (-0.5 / (deviation * deviation)) : -(square + 1e-24).sqrt()
    }
  }
}
