import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Statistics of a model in a file.
@Suite struct StatisticsFileTests {
  private func inTemporaryFolder(_ body: (URL) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(component: "statistics-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder)
  }

  /// The straight line with both of its ends.
  struct WholeLine: NoiseSchedule {
    var timeRange: ClosedRange<Double> { 0...1 }
    func alpha<S: Elementary>(_ t: S) -> S { 1 - t }
    func sigma<S: Elementary>(_ t: S) -> S { t }
  }

  private let statistics = ModelStatistics(
    l: SplitMix(seed: 1).symmetric([7, 2, 3]), a: SplitMix(seed: 2).symmetric([7, 2, 3]),
    b: SplitMix(seed: 3).symmetric([7, 2, 3]), over: -2.3...1.7)

  @Test("what was written is read, to the last bit")
  func round() throws {
    try inTemporaryFolder { folder in
      let path = folder.appending(component: "s.safetensors").path
      try statistics.write(to: path, model: "a model")
      let file = try StatisticsFile(path)
      #expect(file.model == "a model")
      #expect(file.statistics.halfLogSNRs == -2.3...1.7)
      for (a, b) in [
        (file.statistics.l, statistics.l), (file.statistics.a, statistics.a), (file.statistics.b, statistics.b),
      ] {
        #expect(a.isIdentical(to: b))
      }
      try statistics.write(to: path)
      #expect(try StatisticsFile(path).model == nil)
      // Written whole or not at all: nothing else lies there.
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["s.safetensors"])
      let error = #expect(throws: ArrayFileError.self) { try statistics.write(to: "\(folder.path)/none/s.safetensors") }
      #expect(error?.category == .cannotWrite)
    }
  }

  @Test("a file that will not do says why and what to do")
  func refusals() throws {
    let nodes = Tensor([-1.0, 0, 1])
    let good = Tensor.zeros([3, 2])
    let notes = ["format": "scorefield-statistics-1"]
    func expect(
      _ message: String, _ arrays: [(String, Tensor)], _ notes: [String: String] = notes,
      sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      try inTemporaryFolder { folder in
        let path = folder.appending(component: "s.safetensors").path
        try SafeTensors.write(arrays.map { ($0.0, $0.1.hostArray) }, metadata: notes, to: path)
        let error = #expect(throws: ArrayFileError.self, sourceLocation: sourceLocation) { try StatisticsFile(path) }
        #expect(error?.description == "\(path): \(message)", sourceLocation: sourceLocation)
        #expect(error?.category == .badData, sourceLocation: sourceLocation)
      }
    }
    let tables = [("l", good), ("a", good), ("b", good)]
    try expect(
      "does not say that it holds the statistics of a model; give a file of 'solver-statistics'",
      [("half_log_snr", nodes)] + tables, [:])
    try expect(
      "no tensor named 'a'; it has 'b', 'half_log_snr', 'l'",
      [("half_log_snr", nodes), ("l", good), ("b", good)])
    try expect(
      "'b' has shape [3, 1], and there are 3 nodes and 'l' has shape [3, 2]; give tables of one shape, a row per node",
      [("half_log_snr", nodes), ("l", good), ("a", good), ("b", .zeros([3, 1]))])
    try expect(
      "'l' has shape [2, 2], and there are 3 nodes; give tables of one shape, a row per node",
      [("half_log_snr", nodes), ("l", .zeros([2, 2])), ("a", good), ("b", good)])
    try expect(
      "'half_log_snr' has shape [1]; give two or more nodes", [("half_log_snr", Tensor([0.0]))] + tables)
    for uneven in [[-1.0, 0.1, 1], [1, 0, -1], [0, 0, 0]] {
      try expect(
        "'half_log_snr' does not rise in equal steps; measure the statistics again",
        [("half_log_snr", Tensor(uneven))] + tables)
    }
    try expect(
      "'a' holds a NaN or an infinity; measure the statistics again",
      [("half_log_snr", nodes), ("l", good), ("a", .full([3, 2], .nan)), ("b", good)])
    try expect(
      "'l' is int64; give float64 numbers",
      [("half_log_snr", nodes), ("l", Tensor([1, 2, 3])), ("a", good), ("b", good)])
    let error = #expect(throws: ArrayFileError.self) { try StatisticsFile("/nowhere/s.safetensors") }
    #expect(error?.category == .missing)
  }

  @Test("statistics of other samples, another model or another range are refused")
  func uses() throws {
    try inTemporaryFolder { folder in
      let path = folder.appending(component: "s.safetensors").path
      try statistics.write(to: path, model: "one")
      let file = try StatisticsFile(path)
      let inside = TimeGrid.uniformHalfLogSNR(
        3, over: .edm, from: 9, to: 0.2)
      #expect(try file.statistics(ofShape: [2, 3], along: inside, on: .edm, model: "one").nodes == 7)
      #expect(try file.statistics(ofShape: [2, 3], along: inside.reversed, on: .edm).nodes == 7)
      func expect(
        _ message: String, shape: [Int] = [2, 3], from: Double = 9, to: Double = 0.2, model: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
      ) {
        let error = #expect(throws: ArrayFileError.self, sourceLocation: sourceLocation) {
          try file.statistics(ofShape: shape, along: TimeGrid([from, to]), on: .edm, model: model)
        }
        #expect(error?.description == "\(path): \(message)", sourceLocation: sourceLocation)
      }
      expect(
        "holds statistics of samples of shape [2, 3], and the model's are of shape [6]; measure those of this model",
        shape: [6])
      expect("holds the statistics of another model; measure those of this one", model: "two")
      expect(
        "holds statistics for log(α/σ) from -2.3 to 1.7, and the times reach from -2.303 to 1.609; measure them between "
          + "these times", from: 10)
      expect(
        "holds statistics for log(α/σ) from -2.3 to 1.7, and the times reach from -2.197 to 2.303; measure them between "
          + "these times", to: 0.1)
      // What is stepped to without statistics needs none.
      #expect(
        try file.statistics(ofShape: [2, 3], along: TimeGrid([1, 0.5, 0]), on: WholeLine()).nodes == 7)
      #expect(throws: ArrayFileError.self) {
        try file.statistics(ofShape: [2, 3], along: TimeGrid([1, 0.99, 0.5, 0]), on: WholeLine())
      }
      // Statistics of every dimension are those of any shape.
      let scalar = ModelStatistics.frame(.data, over: -2.3...1.7)
      try scalar.write(to: path)
      #expect(try StatisticsFile(path).statistics(ofShape: [9], along: inside, on: .edm).sampleShape == [])
    }
  }
}
