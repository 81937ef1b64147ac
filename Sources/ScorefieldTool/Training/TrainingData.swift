import Scorefield

/// Samples, and the grey levels they are read with; nil for real numbers.
protocol TrainingSource: DataSource {
  var levels: GreyLevels? { get }
}

extension StoredData: TrainingSource {}
extension TensorData: TrainingSource {
  var levels: GreyLevels? { nil }
}

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

  /// Up to so many samples, evenly spread over the data; fewer where they are large.
  func some(_ limit: Int) throws(ArrayFileError) -> Tensor { try source.batch(places(limit)) }

  /// The same with their classes as rows of zeros with a one, where classes are what is known.
  func someWithClasses(_ limit: Int) throws(ArrayFileError) -> TrainingBatch {
    let positions = places(limit)
    var rows: Tensor?
    if let labels, case .classes = labels { rows = labels.batch(positions).oneHot(labels.width) }
    return TrainingBatch(try source.batch(positions), condition: rows)
  }

  private func places(_ limit: Int) -> [Int] {
    let affordable = max(16, (1 << 27) / source.sampleShape.reduce(1, *))
    let count = min(limit, source.count, affordable)
    return (0..<count).map { $0 * source.count / count }
  }

  /// Looks at all of the data, so that what is wrong with a row is known before hours of training.
  func check() throws(ArrayFileError) {
    let progress = Progress("look through the data", total: source.count)
    let step = max(1, (1 << 22) / source.sampleShape.reduce(1, *))
    for first in stride(from: 0, to: source.count, by: step) {
      let end = min(first + step, source.count)
      _ = try source.batch(Array(first..<end))
      progress.show(end)
    }
    progress.finish()
  }

  /// What tells other data and other labels apart: their sizes, and a checksum of some of them.
  func identity() throws(ArrayFileError) -> [String: String] {
    func checksum(_ tensor: Tensor) -> String {
      var checksum = CRC32C()
      tensor.hostArray.withUnsafeBytes { checksum.update($0) }
      return String(checksum.value, radix: 16)
    }
    let labelled = labels.map { "\($0.count) of width \($0.width), \(checksum($0.batch(Array(0..<$0.count))))" }
    return [
      "data": "\(source.count) of shape \(source.sampleShape), \(checksum(try some(256)))",
      "labels": labelled ?? "none",
    ]
  }
}

/// Pictures in colour with their channels in front, as networks have them.
struct ChannelsFirst: TrainingSource {
  let base: any TrainingSource
  var levels: GreyLevels? { base.levels }
  var count: Int { base.count }
  var sampleShape: [Int] { [base.sampleShape[2], base.sampleShape[0], base.sampleShape[1]] }

  func batch(_ positions: [Int]) throws(ArrayFileError) -> Tensor {
    try base.batch(positions).permuted(0, 3, 1, 2)
  }
}
