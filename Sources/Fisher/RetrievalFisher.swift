import ScorefieldArrays
import ScorefieldFields
import ScorefieldPaths
import ScorefieldTensorCore

/// The exact Fisher of the data points nearest to a query, with a bound on what the others could change.
///
///     F = I/σ² − (α²/σ⁴) C,   C over the k points nearest to x/α
///
/// With `κ = σ/α`, `r` the distance to the last point kept and `Z` the sum of the kept weights `e^{−|y − x/α|²/2κ²}`, all
/// others have at most `(N − k) e^{−r²/2κ²}/Z` of them, and change `tr C` by at most
///
///     ε (tr C + 2|m|²) + 2 (N − k) ρ² e^{−ρ²/2κ²}/Z,   ε = (N − k) e^{−r²/2κ²}/Z,   ρ² = max(r², 2κ²)
///
/// where `m` is the kept mean seen from `x/α`. Points that weigh more or less than others have their weights, of mean 1, in `Z`, and `N − k` is
/// the weight of all that are not kept. Below the spacing of the data a few points are all of the posterior.
///
/// - Cost: `O(B·N·d)` to find the points, streamed in tiles, and `O(B·k·d)` per trace or product.
public struct RetrievalFisher: FisherAccess {
  public let schedule: any NoiseSchedule
  /// `k`; all points where there are fewer.
  public let count: Int
  private let rows: Tensor
  /// Of mean 1, `float64` `[N]`; nil where all are equal.
  private let weights: Tensor?

  /// - Parameters:
  ///   - data: The points, shape `[N, …]`.
  ///   - weights: Their relative weights, shape `[N]`, positive; equal where left out.
  ///   - count: `k`.
  ///   - schedule: How they become noise.
  public init(_ data: Tensor, weights: Tensor? = nil, nearest count: Int, on schedule: any NoiseSchedule) {
    guard data.rank >= 1, data.batch > 0, count > 0 else {
      fatalError("RetrievalFisher(\(data.shape), nearest: \(count)): needs points, and at least one of them")
    }
    guard weights.map({ $0.shape == [data.batch] && ($0 .> 0).all() && $0.isFinite().all() }) ?? true else {
      fatalError("RetrievalFisher(\(data.shape), weights: \(weights!.shape)): needs [\(data.batch)], all positive")
    }
    (self.schedule, self.count) = (schedule, min(count, data.batch))
    rows = data.flattened
    self.weights = weights.map { $0.to(.float64) / $0.to(.float64).mean() }
  }

  public func fisher(at x: Tensor, time t: Double) -> At {
    let kernel = schedule.kernel(at: t)
    let ratio = kernel.noiseToSignal
    let origin = x.flattened.to(rows.elementType) / kernel.alpha
    let (distances, positions) = nearest(to: origin)
    // The largest sets the scale: its weight is 1.
    let closest = distances[Axis.all, ..<1]
    var logits = -0.5 * ((distances - closest) / ratio) * ((distances + closest) / ratio)
    let prior = weights?.selecting(positions.reshaped(-1)).reshaped(positions.shape)
    if let prior { logits += prior.log().to(logits.elementType) }
    let largest = logits.max(-1, keeping: true)
    let weights = (logits - largest).exp()
    let mass = weights.sum(-1)
    let shares = weights / mass.expanded(at: 1)
    let offsets =
      rows.selecting(positions.reshaped(-1)).reshaped([x.batch, count, origin.shape[1]]) - origin.expanded(at: 1)
    let mean = shares.expanded(at: 1).matmul(offsets).squeezed(1)
    let centred = offsets - mean.expanded(at: 1)
    let spread = (shares * centred.squared().sum(-1)).sum(-1)

    let total = Double(rows.batch)
    // A difference, rounded: up.
    let missing =
      prior.flatMap {
        count < rows.batch ? ((total - $0.sum(-1)).clamped(0) + 0x1p-48 * total).to(mass.elementType) : nil
      }
      ?? .full([1], total - Double(count), type: mass.elementType, on: mass.device)
    let last = distances[Axis.all, count - 1]
    func weight(_ distance: Tensor) -> Tensor {
      let first = closest.squeezed(1)
      return (-0.5 * ((distance - first) / ratio) * ((distance + first) / ratio) - largest.squeezed(1)).exp()
    }
    let farther = last.clamped(Double(2).squareRoot() * ratio)
    let leftOut = missing * weight(last) / mass
    let spreadBound =
      leftOut * (spread + 2 * mean.squared().sum(-1)) + (2 * missing) * farther.squared() * weight(farther) / mass
    return At(
      kernel: kernel, shape: x.shape, type: x.elementType, centred: centred, shares: shares, spread: spread,
      weightLeftOut: leftOut, spreadBound: spreadBound)
  }

  /// Elements of a tile of distances.
  private static let tileSize = 1 << 21

  /// Distances to the nearest points, nearest first, and where these are, `[B, k]`.
  private func nearest(to origin: Tensor) -> (distances: Tensor, positions: Tensor) {
    var found: (distances: Tensor, positions: Tensor)?
    let step = max(count, Self.tileSize / max(origin.batch, 1))
    for first in stride(from: 0, to: rows.batch, by: step) {
      let range = first..<min(first + step, rows.batch)
      let tile = origin.distances(to: rows[range])
      let positions = Tensor.arange(range, on: tile.device).broadcast(to: tile.shape)
      let all = found.map {
        (Tensor.concatenated([$0.distances, tile], 1), Tensor.concatenated([$0.positions, positions], 1))
      }
      let (distances, places) = (all?.0 ?? tile, all?.1 ?? positions)
      let best = distances.top(min(count, distances.shape[1]), largest: false)
      found = (best.values, places.gathered(best.positions, 1))
    }
    return found!
  }

  /// The Fisher at a batch of points.
  public struct At: FisherOperator {
    fileprivate let kernel: PerturbationKernel
    fileprivate let shape: [Int]
    fileprivate let type: ElementType
    fileprivate let centred, shares, spread: Tensor
    /// The weight that the points left out have at most, against that of those kept; shape `[B]`.
    public let weightLeftOut: Tensor
    fileprivate let spreadBound: Tensor

    /// `V = (α²/σ²) tr C`, shape `[B]`.
    public var residual: Tensor { spread / (kernel.noiseToSignal * kernel.noiseToSignal) }
    /// How far ``residual`` is at most from that of all points, shape `[B]`.
    public var residualBound: Tensor { spreadBound / (kernel.noiseToSignal * kernel.noiseToSignal) }
    /// How far ``trace()`` is at most from that of all points, shape `[B]`.
    public var traceBound: Tensor { residualBound / (kernel.sigma * kernel.sigma) }

    public func trace() -> Tensor {
      kernel.fisherTrace(residual: residual, dimension: centred.shape[2]).to(type)
    }

    public func matvec(_ v: Tensor) -> Tensor {
      let direction = v.flattened.to(centred.elementType)
      let projections = centred.matmul(direction.expanded(at: 2)).squeezed(2)
      let product = (shares * projections).expanded(at: 1).matmul(centred).squeezed(1)
      let ratio = kernel.alpha / kernel.sigma
      return ((direction - (ratio * ratio) * product) / (kernel.sigma * kernel.sigma)).reshaped(shape).to(type)
    }
  }
}
