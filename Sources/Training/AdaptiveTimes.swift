/// Times drawn more often where losses are large, as the losses seen so far tell.
///
///     p(t) = n wᵢ p₀(t),   wᵢ = (1 − η) √⟨L²⟩ᵢ/Σⱼ √⟨L²⟩ⱼ + η/n
///
/// The base `p₀` is cut into `n` parts of equal share, and `⟨L²⟩ᵢ` is the mean over the latest losses in a part. A loss
/// times ``weight(at:)`` has the mean it has under the base, and of all histograms this one makes its variance the least.
/// Until every part has its losses, the times are the base's. The base's quantiles must rise with the share.
///
/// Source: Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 18, with ten losses and a uniform share of 0.001 as in the code
/// they released.
public struct AdaptiveTimes: TimeDistribution {
  public let base: any TimeDistribution
  /// How many losses of each part are remembered.
  public let history: Int
  /// `η`, what is drawn as the base does.
  public let baseShare: Double
  /// Where the parts begin and end, `n + 1` times.
  private let edges: [Double]
  /// `L²`, the latest last, by part.
  private var squares: [[Double]]
  /// `wᵢ`, and the sums of those before each part.
  private var weights, sums: [Double]

  /// - Parameters:
  ///   - base: Where to begin, and what a mean is over.
  ///   - parts: `n`.
  ///   - history: How many losses of each part are remembered.
  ///   - baseShare: `η`, above 0 so that no time is forgotten.
  public init(over base: any TimeDistribution, parts: Int = 64, history: Int = 10, baseShare: Double = 1e-3) {
    guard parts > 0, history > 0, baseShare > 0, baseShare <= 1 else {
      fatalError(
        "AdaptiveTimes(parts: \(parts), history: \(history), baseShare: \(baseShare)): needs a part, a loss to "
          + "remember, and a share above 0 and at most 1")
    }
    (self.base, self.history, self.baseShare) = (base, history, baseShare)
    edges = (0...parts).map { base.time(atQuantile: Double($0) / Double(parts)) }
    guard zip(edges, edges.dropFirst()).allSatisfy({ $0 < $1 }) else {
      fatalError("AdaptiveTimes(over: \(type(of: base)), parts: \(parts)): its quantiles do not rise from part to part")
    }
    squares = Array(repeating: [], count: parts)
    weights = Array(repeating: 1 / Double(parts), count: parts)
    sums = (0..<parts).map { Double($0) / Double(parts) }
  }

  /// Learns from losses at times; those that are not finite tell nothing.
  ///
  /// - Parameters:
  ///   - losses: `L`, not yet multiplied by ``weight(at:)``.
  ///   - times: Their times.
  public mutating func record(losses: [Double], at times: [Double]) {
    guard losses.count == times.count else {
      fatalError("record(\(losses.count) losses, at: \(times.count) times): needs as many of both")
    }
    for (loss, time) in zip(losses, times) where loss.isFinite {
      let part = part(of: time)
      squares[part].append(loss * loss)
      if squares[part].count > history { squares[part].removeFirst() }
    }
    guard squares.allSatisfy({ $0.count == history }) else { return }
    let sizes = squares.map { ($0.reduce(0, +) / Double(history)).squareRoot() }
    let (total, count) = (sizes.reduce(0, +), Double(weights.count))
    guard total > 0, total.isFinite else { return }
    weights = sizes.map { (1 - baseShare) * $0 / total + baseShare / count }
    var sum = 0.0
    sums = weights.map { weight in
      defer { sum += weight }
      return sum
    }
  }

  public func time(atQuantile u: Double) -> Double {
    let part = Self.last(of: sums, notAbove: u)
    let share = min((u - sums[part]) / weights[part], 1)
    return base.time(atQuantile: (Double(part) + share) / Double(weights.count))
  }

  public func density(at t: Double) -> Double { base.density(at: t) / weight(at: t) }

  /// `p₀/p`, what a loss at a time counts, so that the mean stays that of the base.
  public func weight(at t: Double) -> Double { 1 / (Double(weights.count) * weights[part(of: t)]) }

  private func part(of t: Double) -> Int { min(Self.last(of: edges, notAbove: t), weights.count - 1) }

  /// The last of rising numbers that is not above another; the first, where all are.
  private static func last(of numbers: [Double], notAbove limit: Double) -> Int {
    var (low, high) = (0, numbers.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if numbers[middle] <= limit { low = middle } else { high = middle }
    }
    return low
  }
}
