import RealModule

/// What many numbers say together, and how far that is to be trusted.
enum Statistics {
  static func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

  /// Of the mean of independent values.
  static func standardError(_ values: [Double]) -> Double {
    guard values.count > 1 else { return .nan }
    let middle = mean(values)
    let squares = values.reduce(0) { $0 + ($1 - middle) * ($1 - middle) }
    return (squares / Double(values.count - 1) / Double(values.count)).squareRoot()
  }

  /// Of a share of `count` independent trials; one that none or all won is taken to be half a trial off.
  static func standardError(ofShare share: Double, of count: Int) -> Double {
    let margin = 0.5 / Double(count)
    let inside = min(max(share, margin), 1 - margin)
    return (inside * (1 - inside) / Double(count)).squareRoot()
  }

  /// The share of pairs in which the first is smaller; equal ones are half.
  static func wins(_ first: [Double], over second: [Double]) -> Double {
    let won = first.reduce(0) { sum, a in sum + second.reduce(0.0) { $0 + (a < $1 ? 1 : a == $1 ? 0.5 : 0) } }
    return won / Double(first.count * second.count)
  }

  /// Places from 0, smallest first; equal values share the mean of their places.
  static func ranks(_ values: [Double]) -> [Double] {
    let order = values.indices.sorted { (values[$0], $0) < (values[$1], $1) }
    var ranks = [Double](repeating: 0, count: values.count)
    var start = 0
    while start < order.count {
      var end = start
      while end + 1 < order.count, values[order[end + 1]] == values[order[start]] { end += 1 }
      for place in start...end { ranks[order[place]] = Double(start + end) / 2 }
      start = end + 1
    }
    return ranks
  }

  /// Spearman's correlation of ranks; 0 where one of them never changes.
  static func spearman(_ first: [Double], _ second: [Double]) -> Double {
    let (a, b) = (ranks(first), ranks(second))
    let (meanA, meanB) = (mean(a), mean(b))
    let products = zip(a, b).reduce(0) { $0 + ($1.0 - meanA) * ($1.1 - meanB) }
    let (squaresA, squaresB) = (
      a.reduce(0) { $0 + ($1 - meanA) * ($1 - meanA) }, b.reduce(0) { $0 + ($1 - meanB) * ($1 - meanB) }
    )
    return squaresA > 0 && squaresB > 0 ? products / (squaresA * squaresB).squareRoot() : 0
  }

  /// The probability that a normal number of the given standard deviation is as far from 0, on either side.
  static func twoSidedP(_ value: Double, standardError: Double) -> Double {
    .erfc(abs(value) / standardError / 2.0.squareRoot())
  }
}
