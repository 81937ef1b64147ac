import ScorefieldArrays
import ScorefieldTensorCore

/// How an estimate of the data is kept within the range of data.
enum EstimateLimit: Sendable {
  case none
  /// To `[−range, range]`.
  case clip(Double)
  /// To the quantile of its own magnitudes, at least 1 and at most `largest`, and then divided by it.
  ///
  /// Source: Saharia et al. 2022, arXiv:2205.11487, section 2.3.
  case threshold(quantile: Double, largest: Double)

  /// The limit of a file.
  ///
  /// - Parameters:
  ///   - file: The file.
  ///   - clips: Whether the class clips where nothing is said, nil where it does not know to clip.
  ///   - thresholds: Whether it knows to threshold.
  /// - Throws: Where a value is none it can have.
  init(_ file: inout SchedulerFile, clips: Bool?, thresholds: Bool = true) throws(ArrayFileError) {
    self = .none
    if let clips {
      let isOn = try file.flag("clip_sample", clips)
      let range = try file.number("clip_sample_range", 1, in: 0...1e9)
      if isOn { self = .clip(range) }
    }
    if thresholds {
      let isOn = try file.flag("thresholding", false)
      let quantile = try file.number("dynamic_thresholding_ratio", 0.995, in: 0...1)
      let largest = try file.number("sample_max_value", 1, in: 0...1e9)
      if isOn { self = .threshold(quantile: quantile, largest: largest) }
    }
  }

  func callAsFunction(_ data: Tensor) -> Tensor {
    switch self {
    case .none: return data
    case .clip(let range): return data.clamped(-range, range)
    case .threshold(let fraction, let largest):
      let bound = data.abs().reshaped([data.batch, -1]).quantile(fraction, 1).clamped(1).clamped(nil, largest)
        .reshaped([data.batch] + data.shape.dropFirst().map { _ in 1 })
      return Tensor.maximum(Tensor.minimum(data, bound), -bound) / bound
    }
  }
}
