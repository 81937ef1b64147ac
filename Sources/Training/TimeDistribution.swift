import ScorefieldTensorCore

/// How the times of training are drawn.
///
/// A conformer says where each quantile lies, so that draws, stratified draws and densities agree.
public protocol TimeDistribution: Sendable {
  /// The time below which a share `u` of the draws lies, `0 ≤ u ≤ 1`.
  func time(atQuantile u: Double) -> Double
  /// The density of the draws per unit of time.
  func density(at t: Double) -> Double
}

extension TimeDistribution {
  /// Independent times.
  public func times(_ count: Int, using generator: inout Generator) -> [Double] {
    Tensor.uniform([count], using: &generator).doubles.map(time(atQuantile:))
  }

  /// Times spread evenly over the quantiles, with one random shift and in random order: each of them has the distribution,
  /// and together they have far less variance.
  ///
  /// Source: Kingma et al. 2021, arXiv:2107.00630, appendix I.1.
  public func stratifiedTimes(_ count: Int, using generator: inout Generator) -> [Double] {
    let shift = Tensor.uniform([1], using: &generator).item
    let order = Tensor.permutation(count, using: &generator).integers
    return order.map { time(atQuantile: (Double($0) + shift) / Double(count)) }
  }
}
