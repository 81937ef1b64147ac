import ScorefieldArrays
import ScorefieldPaths
import ScorefieldSolvers
import ScorefieldTensorCore

/// A model's statistics in a file: a `.safetensors` file with `half_log_snr` `[n]`, `l`, `a` and `b`, each `[n, …]`.
///
/// Its notes may say of which model they are.
public struct StatisticsFile: Sendable {
  public let path: String
  public let statistics: ModelStatistics
  /// What tells the model from others; nil where it is not known.
  public let model: String?

  fileprivate static let format = "scorefield-statistics-1"

  /// Reads a file and checks what is in it.
  ///
  /// - Parameter path: The file.
  /// - Throws: Where it cannot be read, or holds no statistics.
  public init(_ path: String) throws(ArrayFileError) {
    func error(_ problem: String, repair: String) -> ArrayFileError {
      ArrayFileError(path, .badData, problem, repair: repair)
    }
    let file = try SafeTensorsFile(path)
    guard file.metadata["format"] == Self.format else {
      throw error("does not say that it holds the statistics of a model", repair: "give a file of 'solver-statistics'")
    }
    func array(_ name: String) throws(ArrayFileError) -> Tensor {
      let array = try file.array(named: name)
      guard array.elementType == .float64 || array.elementType == .float32 else {
        throw error("'\(name)' is \(array.elementType.rawValue)", repair: "give float64 numbers")
      }
      let values = Tensor(array).to(.float64)
      guard values.isFinite().all() else {
        throw error("'\(name)' holds a NaN or an infinity", repair: "measure the statistics again")
      }
      return values
    }
    let (places, l, a, b) = (try array("half_log_snr"), try array("l"), try array("a"), try array("b"))
    guard places.rank == 1, places.count > 1 else {
      throw error("'half_log_snr' has shape \(places.shape)", repair: "give two or more nodes")
    }
    let nodes = places.doubles
    let (first, last) = (nodes[0], nodes[nodes.count - 1])
    let even = first < last ? ModelStatistics.nodes(nodes.count, over: first...last) : []
    guard first < last, zip(nodes, even).allSatisfy({ abs($0 - $1) <= 1e-9 * (last - first) }) else {
      throw error("'half_log_snr' does not rise in equal steps", repair: "measure the statistics again")
    }
    for (name, table) in [("l", l), ("a", a), ("b", b)] {
      guard table.rank > 0, table.shape[0] == nodes.count, table.shape == l.shape, table.count > 0 else {
        throw error(
          "'\(name)' has shape \(table.shape), and there are \(nodes.count) nodes"
            + (name == "l" ? "" : " and 'l' has shape \(l.shape)"), repair: "give tables of one shape, a row per node")
      }
    }
    (self.path, model) = (path, file.metadata["model"])
    statistics = ModelStatistics(l: l, a: a, b: b, over: first...last)
  }

  /// The statistics, where they are of use for a model and a grid.
  ///
  /// - Parameters:
  ///   - shape: The shape of one sample.
  ///   - grid: The times they are to be used at.
  ///   - schedule: What the times are times of.
  ///   - model: What tells the model from others; nil where it is not known.
  /// - Returns: The statistics.
  /// - Throws: Where they are another model's, or do not reach as far as the grid.
  public func statistics(
    ofShape shape: [Int], along grid: TimeGrid, on schedule: any NoiseSchedule, model: String? = nil
  ) throws(ArrayFileError) -> ModelStatistics {
    func error(_ problem: String, repair: String) -> ArrayFileError {
      ArrayFileError(path, .badData, problem, repair: repair)
    }
    guard statistics.sampleShape.isEmpty || statistics.sampleShape == shape else {
      throw error(
        "holds statistics of samples of shape \(statistics.sampleShape), and the model's are of shape \(shape)",
        repair: "measure those of this model")
    }
    if let own = self.model, let model, own != model {
      throw error("holds the statistics of another model", repair: "measure those of this one")
    }
    // Ends without noise or without data are stepped to without statistics.
    let reached = schedule.kernels(at: grid.times).map(\.halfLogSNR).filter(\.isFinite)
    if let first = reached.min(), let last = reached.max(), !statistics.covers(first) || !statistics.covers(last) {
      let own = statistics.halfLogSNRs
      func text(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }
      throw error(
        "holds statistics for log(α/σ) from \(text(own.lowerBound)) to \(text(own.upperBound)), and the times reach from "
          + "\(text(first)) to \(text(last))", repair: "measure them between these times")
    }
    return statistics
  }
}

extension ModelStatistics {
  /// The parts of a file that holds the statistics.
  ///
  /// - Parameters:
  ///   - model: What tells the model from others; nil where that is not known.
  ///   - name: What errors call the file.
  /// - Returns: The file's bytes.
  /// - Throws: Where the format cannot hold them.
  public func encoded(model: String? = nil, name: String) throws(ArrayFileError) -> [Bytes] {
    let nodes = Tensor(Self.nodes(nodes, over: halfLogSNRs))
    let notes = ["format": StatisticsFile.format].merging(model.map { ["model": $0] } ?? [:]) { $1 }
    return try SafeTensors.encode(
      [("half_log_snr", nodes.hostArray), ("l", l.hostArray), ("a", a.hostArray), ("b", b.hostArray)], metadata: notes,
      name: name)
  }

  /// Writes the statistics to a file, whole or not at all.
  ///
  /// - Parameters:
  ///   - path: The destination, in a folder that exists.
  ///   - model: What tells the model from others; nil where that is not known.
  /// - Throws: Where it cannot be written.
  public func write(to path: String, model: String? = nil) throws(ArrayFileError) {
    try AtomicFile.write(encoded(model: model, name: path), to: path)
  }
}
