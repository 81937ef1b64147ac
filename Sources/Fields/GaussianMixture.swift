import ScorefieldPaths
import ScorefieldTensorCore

/// A mixture of Gaussians, some of which may be points.
///
///     p(x₀) = Σₖ wₖ N(mₖ, Σₖ)
///
/// Its numbers are `float64`, and covariances are kept by their eigenvectors: blurred by any noise, they stay diagonal.
public struct GaussianMixture: Sendable {
  /// `wₖ`, `[K]`; they sum to 1 and none is 0.
  public let weights: Tensor
  /// `mₖ`, `[K, d]`.
  public let means: Tensor
  /// The eigenvalues of `Σₖ`, `[K, d]`.
  public let variances: Tensor
  /// The eigenvectors of `Σₖ` as columns, `[K, d, d]`; nil where they are the axes.
  public let axes: Tensor?
  /// The mean of the means, `[d]`, and the means without it, `[K, d]`.
  let centre, centredMeans: Tensor

  /// A mixture of Gaussians with full covariances.
  ///
  /// - Parameters:
  ///   - weights: Their relative weights, shape `[K]`, not negative and not all zero; equal where left out.
  ///   - means: Shape `[K, d]`.
  ///   - covariances: Symmetric and positive semidefinite, shape `[K, d, d]`.
  /// - Throws: Where the numbers are no mixture.
  public init(weights: Tensor? = nil, means: Tensor, covariances: Tensor) throws(MixtureError) {
    let (kept, means) = try Self.checked(weights, means)
    let (count, dimension) = (kept.weights.batch, means.shape[1])
    guard covariances.shape == [count, dimension, dimension] else {
      throw MixtureError(
        "covariances have shape \(covariances.shape), the means \(means.shape)",
        repair: "give one \(dimension) × \(dimension) matrix per mean")
    }
    let matrices = covariances.to(.float64)
    guard matrices.isFinite().all() else {
      throw MixtureError("a covariance holds a NaN or an infinity", repair: "give finite numbers")
    }

    // Sizes are a component's own: a small one beside a large one must be as symmetric.
    let sizes = matrices.abs().max(-2, -1)
    let asymmetry = (matrices - matrices.transposed).abs().max(-2, -1)
    if let component = Self.first(asymmetry .> 1e-10 * sizes) {
      throw MixtureError(
        "covariance \(component) is not symmetric", repair: "give a matrix that equals its transpose")
    }
    let (values, vectors) = (0.5 * (matrices + matrices.transposed)).eigh()
    if let component = Self.first(values.min(-1) .< -1e-10 * sizes) {
      let least = values[component].min().item
      throw MixtureError(
        "covariance \(component) has the negative eigenvalue \(least)", repair: "give a positive semidefinite matrix")
    }
    let mask = kept.mask
    self.init(kept.weights[mask], means[mask], variances: values[mask].clamped(0), axes: vectors[mask])
  }

  /// A mixture of Gaussians with independent coordinates.
  ///
  /// - Parameters:
  ///   - weights: Their relative weights, shape `[K]`, not negative and not all zero; equal where left out.
  ///   - means: Shape `[K, d]`.
  ///   - standardDeviations: Not negative, shape `[K, d]`, or `[K]` where those of a component are equal.
  /// - Throws: Where the numbers are no mixture.
  public init(weights: Tensor? = nil, means: Tensor, standardDeviations: Tensor) throws(MixtureError) {
    let (kept, means) = try Self.checked(weights, means)
    guard standardDeviations.shape == means.shape || standardDeviations.shape == [means.batch] else {
      throw MixtureError(
        "standard deviations have shape \(standardDeviations.shape), the means \(means.shape)",
        repair: "give one per mean, or one per number of a mean")
    }
    let deviations = standardDeviations.to(.float64)
    guard deviations.isFinite().all() else {
      throw MixtureError("a standard deviation is a NaN or an infinity", repair: "give finite numbers")
    }
    guard !(deviations .< 0).any() else {
      throw MixtureError("a standard deviation is negative", repair: "give numbers that are 0 or larger")
    }
    let columns = deviations.rank == 1 ? deviations.expanded(at: 1) : deviations
    let mask = kept.mask
    self.init(
      kept.weights[mask], means[mask], variances: columns.squared().broadcast(to: means.shape)[mask], axes: nil)
  }

  private init(_ weights: Tensor, _ means: Tensor, variances: Tensor, axes: Tensor?) {
    (self.weights, self.means, self.variances, self.axes) = (weights / weights.sum(), means, variances, axes)
    // Few digits, so that nearby means less the centre are exact.
    self.centre = self.weights.matmul(means).to(.float32).to(.float64)
    self.centredMeans = means - centre
  }

  /// Weights and means that can be used, and which components have any weight.
  private static func checked(
    _ weights: Tensor?, _ means: Tensor
  ) throws(MixtureError) -> (kept: (weights: Tensor, mask: Tensor), means: Tensor) {
    guard means.rank == 2, means.count > 0 else {
      throw MixtureError("means have shape \(means.shape)", repair: "give at least one mean, as a row of numbers")
    }
    guard means.isFinite().all() else {
      throw MixtureError("a mean holds a NaN or an infinity", repair: "give finite numbers")
    }
    guard let weights else {
      let equal = Tensor.ones([means.batch], on: means.device)
      return ((equal, equal .> 0), means.to(.float64))
    }
    guard weights.shape == [means.batch] else {
      throw MixtureError(
        "weights have shape \(weights.shape), the means \(means.shape)", repair: "give one weight per mean")
    }
    guard weights.isFinite().all() else {
      throw MixtureError("a weight is a NaN or an infinity", repair: "give finite numbers")
    }
    guard !(weights .< 0).any() else {
      throw MixtureError("a weight is negative", repair: "give numbers that are 0 or larger")
    }
    guard (weights .> 0).any() else {
      throw MixtureError("all weights are 0", repair: "give at least one that is larger")
    }
    // Relative to the largest, so that their sum is finite.
    let relative = weights.to(.float64)
    return ((relative / relative.max(), weights .> 0), means.to(.float64))
  }

  /// The first position at which a vector is true.
  private static func first(_ condition: Tensor) -> Int? { condition.flags.firstIndex(of: true) }
}

extension GaussianMixture {
  /// The number of Gaussians that have any weight.
  public var count: Int { means.shape[0] }
  /// The dimension of the space, `d`.
  public var dimension: Int { means.shape[1] }

  /// `Σₖ`, `[K, d, d]`.
  public var covariances: Tensor {
    guard let axes else { return variances.diagonalMatrix }
    return (axes * variances.expanded(at: 1)).matmul(axes.transposed)
  }

  /// The mixture after `x₀ ↦ α x₀ + σ ε`: the distribution of `x_t`.
  public func diffused(by kernel: PerturbationKernel) -> GaussianMixture {
    let (gain, noise) = (kernel.alpha * kernel.alpha, kernel.sigma * kernel.sigma)
    return GaussianMixture(weights, kernel.alpha * means, variances: gain * variances + noise, axes: axes)
  }

  /// `log p(x)`; shape `[B, d]` in, `[B]` out, nats.
  ///
  /// Stops where a component has no density, because one of its variances is 0.
  public func logDensity(_ x: Tensor) -> Tensor {
    guard (variances .> 0).all() else { fatalError("logDensity(\(x.shape)): a Gaussian of variance 0 has no density") }
    let moments = GaussianMixtureDenoiser.Components(of: self, at: x.to(.float64), 1, 0)
    return moments.logDensity.to(x.elementType)
  }

  /// Independent draws, `[count, d]`.
  public func sample(_ count: Int, using generator: inout Generator) -> Tensor {
    let uniform = Tensor.uniform([count, 1], on: means.device, using: &generator)
    let noise = Tensor.normal([count, dimension], on: means.device, using: &generator)
    // How many bounds between components lie below: the last component takes what rounding leaves.
    let bounds = weights.cumulativeSum(0)[..<(self.count - 1)]
    let choice = (uniform .>= bounds).to(.int64).sum(-1)

    let scaled = variances.sqrt().selecting(choice) * noise
    guard let axes else { return means.selecting(choice) + scaled }
    // Component by component, so that no draw has a matrix of its own.
    let (sorted, order) = choice.sorted()
    let rows = scaled.selecting(order)
    var turned: [Tensor] = []
    var start = 0
    for component in 0..<self.count {
      let size = (sorted .== Double(component)).to(.int64).sum().integers[0]
      turned.append(rows[start..<(start + size)].matmul(axes[component].transposed))
      start += size
    }
    return means.selecting(choice) + Tensor.concatenated(turned).selecting(order.sorted().positions)
  }
}
