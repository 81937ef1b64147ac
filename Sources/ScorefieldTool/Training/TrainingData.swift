import Scorefield

/// Batches of data with what is known of them.
struct TrainingData {
  let source: any DataSource
  let labels: Labels?
  /// The number of classes, or the length of a vector.
  let conditionWidth: Int?
  /// The share of samples whose condition is hidden.
  let dropout: Double
  let seed: UInt64

  init(_ source: any DataSource, labels: Labels? = nil, dropout: Double = 0, seed: UInt64) {
    (self.source, self.labels, self.dropout, self.seed) = (source, labels, dropout, seed)
    conditionWidth = labels?.width
  }

  /// The samples at positions, for a step; what is hidden depends on the step alone.
  func batch(_ positions: [Int], step: Int) throws(ArrayFileError) -> TrainingBatch {
    let data = try source.batch(positions)
    guard let labels else { return TrainingBatch(data) }
    let rows: Tensor
    switch labels {
    case .classes: rows = labels.batch(positions).oneHot(labels.width).to(.float32)
    case .vectors: rows = labels.batch(positions)
    }
    guard dropout > 0 else { return TrainingBatch(data, condition: rows) }
    var generator = Generator(seed: seed &+ 0x9E37_79B9_7F4A_7C15 &* UInt64(step + 1))
    let kept = Tensor.uniform([positions.count, 1], type: .float32, using: &generator) .>= dropout
    return TrainingBatch(data, condition: rows * kept.to(.float32))
  }

  /// Up to so many samples, evenly spread over the data.
  func some(_ limit: Int) throws(ArrayFileError) -> Tensor { try source.batch(spread(limit)) }

  /// The same with their classes as rows of zeros with a one, where classes are what is known.
  func someWithClasses(_ limit: Int) throws(ArrayFileError) -> TrainingBatch {
    let positions = spread(limit)
    var rows: Tensor?
    if let labels, case .classes = labels { rows = labels.batch(positions).oneHot(labels.width) }
    return TrainingBatch(try source.batch(positions), condition: rows)
  }

  private func spread(_ limit: Int) -> [Int] {
    let count = min(limit, source.count)
    return (0..<count).map { $0 * source.count / count }
  }
}
