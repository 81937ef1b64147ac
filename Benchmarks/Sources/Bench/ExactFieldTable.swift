import Foundation
import Scorefield

/// The table of the exact field over sizes, data in memory and on the disk: every way in turn in one run, by time over that
/// of its own matrix products.
///
/// What peers need does not depend on the noise level, and they are asked at one of them.
struct ExactFieldTable {
  struct Row: Codable {
    let points, dimension, batch, threads: Int
    let stored: Bool
    /// Seconds of the products of the same shapes.
    let gemm: Double
    /// Seconds for mean and log density, and with trace and F v, at `levels`.
    let mean, all: [Double]
    /// Resident memory at the peak beyond the data, MB.
    let memory: Double
    /// Seconds and memory of peers.
    let peers: [String: Double]
    let peerMemory: [String: Double]
  }

  static let levels = [0.1, 1, 10, 80]

  /// Rows are kept as they come, and a second run goes on after them.
  static func run(threads: Int, into folder: URL) throws {
    let kept = folder.appending(component: "exact-field-\(threads).json")
    var rows = (try? JSONDecoder().decode([Row].self, from: Data(contentsOf: kept))) ?? []
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    for (points, stored) in [(1797, false), (50_000, false), (500_000, true)] {
      for dimension in [2, 64, 3072] {
        guard
          [1, 64, 1024].contains(where: { batch in
            !rows.contains { ($0.points, $0.dimension, $0.batch) == (points, dimension, batch) }
          })
        else { continue }
        var file: URL?
        var data: Tensor
        var generator = Generator(seed: 0)
        if stored {
          file = folder.appending(component: "points-\(dimension).npy")
          if !FileManager.default.fileExists(atPath: file!.path) { try store(points, dimension, &generator, file!) }
          data = .zeros([0, dimension], type: .float32)
        } else {
          data = 2 * Tensor.uniform([points, dimension], type: .float32, using: &generator) - 1
        }
        for batch in [1, 64, 1024] {
          if rows.contains(where: { ($0.points, $0.dimension, $0.batch) == (points, dimension, batch) }) { continue }
          let row = try row(points, dimension, batch, threads, data, file, &generator)
          rows.append(row)
          try encoder.encode(rows).write(to: kept)
          FileHandle.standardError.write(Data("\(points) \(dimension) \(batch): \(row.mean)\n".utf8))
        }
        if let file { try FileManager.default.removeItem(at: file) }
      }
    }
    print(markdown(rows))
    try Data(picture(rows).utf8).write(to: folder.appending(component: "exact-field-\(threads).svg"))
  }

  private static func row(
    _ points: Int, _ dimension: Int, _ batch: Int, _ threads: Int, _ data: Tensor, _ file: URL?,
    _ generator: inout Generator
  ) throws -> Row {
    let before = Threads.count
    defer { Threads.count = before }
    Threads.count = threads
    // Minutes a run.
    let isLarge = points * dimension * batch > 1 << 34
    let runs = isLarge ? 1 : 3
    func seconds(_ work: () -> Void) -> Double {
      isLarge ? ContinuousClock().measure(work).inSeconds : Bench.seconds(runs: runs, work)
    }
    let noise = Tensor.normal([batch, dimension], type: .float32, using: &generator)
    let v = 2 * Tensor.uniform([batch, dimension], type: .float32, using: &generator) - 1

    // Products of a tile's shapes, as many as there are.
    let tile = min(points, 50_000)
    let some = file == nil ? data : 2 * Tensor.uniform([tile, dimension], type: .float32, using: &generator) - 1
    let weights = Tensor.uniform([batch, tile], type: .float32, using: &generator)
    let chosen = some.selecting(Tensor((0..<batch).map { $0 * 7919 % tile }))
    let gemm =
      seconds { _ = (chosen.matmul(some.transposed), weights.matmul(some)) } * Double(points / tile)
    let model: any ExactField
    if let file {
      model = StoredField(try StoredPoints(StoredRows(file.path), type: .float32), on: .edm)
    } else {
      model = EmpiricalDenoiser(data: data, on: .edm)
    }
    var (mean, all): ([Double], [Double]) = ([], [])
    var whole = 0.0
    let memory = growth {
      whole = ContinuousClock().measure { _ = model.posterior(chosen + 10 * noise, at: 10, along: v) }.inSeconds
    }
    for sigma in levels {
      let x = chosen + sigma * noise
      mean.append(seconds { _ = model.posterior(x, at: sigma) })
      // Of the largest, products at one level only.
      all.append(isLarge ? whole : seconds { _ = model.posterior(x, at: sigma, along: v) })
    }
    var arguments = [
      "--points", "\(points)", "--dimension", "\(dimension)", "--batch", "\(batch)", "--threads", "\(threads)",
      "--sigma", "10", "--runs", "\(runs)",
    ]
    if let file { arguments += ["--file", file.path] }
    let found = try Peer(script: "exact_field.py", arguments: arguments).run()
    var (peers, peerMemory): ([String: Double], [String: Double]) = ([:], [:])
    for figure in found where figure.name != "gemm" {
      if figure.name.hasSuffix(" memory") {
        peerMemory[String(figure.name.dropLast(7))] = figure.value
      } else {
        peers[String(figure.name.dropFirst(3))] = figure.value
      }
    }
    return Row(
      points: points, dimension: dimension, batch: batch, threads: threads, stored: file != nil, gemm: gemm, mean: mean,
      all: all, memory: memory, peers: peers, peerMemory: peerMemory)
  }

  /// Points to a `.npy` file, a part at a time.
  private static func store(_ count: Int, _ dimension: Int, _ generator: inout Generator, _ file: URL) throws {
    var header = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(count), \(dimension)), }"
    header += String(repeating: " ", count: 117 - header.utf8.count) + "\n"
    try (Data([0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0]) + Data(header.utf8)).write(to: file)
    let handle = try FileHandle(forWritingTo: file)
    defer { try? handle.close() }
    try handle.seekToEnd()
    let step = max(1, (1 << 24) / dimension)
    for first in stride(from: 0, to: count, by: step) {
      let part = 2 * Tensor.uniform([min(step, count - first), dimension], type: .float32, using: &generator) - 1
      try part.hostArray.withUnsafeBytes { try handle.write(contentsOf: Data($0)) }
    }
  }

  // MARK: What is shown

  static let ways = ["naive", "chunked", "online", "attention", "numpy", "keops"]

  private static func markdown(_ rows: [Row]) -> String {
    var text =
      "| N | d | B | products | ours at σ = 0.1 | 1 | 10 | 80 | with trace and F v | MB | "
      + ways.joined(separator: " | ") + " | best peer's MB |\n|" + String(repeating: "---|", count: 17) + "\n"
    for row in rows {
      let best = row.peers.min { $0.value < $1.value }
      let cells =
        ["\(row.points)\(row.stored ? ", on disk" : "")", "\(row.dimension)", "\(row.batch)", time(row.gemm)]
        + row.mean.map { short($0 / row.gemm) } + [short(row.all[2] / row.gemm), short(row.memory)]
        + ways.map { way in row.peers[way].map { short($0 / row.gemm) } ?? "–" }
        + [best.flatMap { row.peerMemory[$0.key] }.map(short) ?? "–"]
      text += "| " + cells.joined(separator: " | ") + " |\n"
    }
    return text
  }

  /// One line per size; a mark per way, by time over that of the products, logarithmic.
  private static func picture(_ rows: [Row]) -> String {
    let (left, width, height) = (190.0, 620.0, 22.0)
    let colours = ["#1b6ac9", "#8ec3ff", "#888888", "#b05e00", "#2e8b57", "#a03090", "#c8a000", "#c03030"]
    let names = ["ours", "ours, trace and F v"] + ways
    let values = rows.map { row in
      [row.mean[2], row.all[2]].map { $0 / row.gemm } + ways.map { row.peers[$0].map { $0 / row.gemm } ?? .nan }
    }
    let (low, high) = (0.1, 100.0)
    func place(_ value: Double) -> Double {
      left + width * log(min(max(value, low), high) / low) / log(high / low)
    }
    let bottom = 60 + height * Double(rows.count)
    var text =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(left + width + 30) \(bottom + 50)\" "
      + "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    for (index, name) in names.enumerated() {
      let x = 20 + Double(index % 8) * 98
      text += "<circle cx=\"\(x)\" cy=\"20\" r=\"5\" fill=\"\(colours[index])\"/>"
      text += "<text x=\"\(x + 9)\" y=\"24\" font-size=\"11\">\(name)</text>\n"
    }
    for tick in [0.1, 0.3, 1, 3, 10, 30, 100] {
      let x = place(tick)
      text += "<line x1=\"\(x)\" x2=\"\(x)\" y1=\"44\" y2=\"\(bottom)\" stroke=\"\(tick == 1 ? "#444" : "#ddd")\"/>"
      text += "<text x=\"\(x)\" y=\"\(bottom + 16)\" text-anchor=\"middle\">\(short(tick))</text>\n"
    }
    for (index, row) in rows.enumerated() {
      let y = 56 + height * Double(index)
      text += "<text x=\"10\" y=\"\(y + 4)\">N = \(row.points), d = \(row.dimension), B = \(row.batch)</text>"
      for (way, value) in values[index].enumerated() where !value.isNaN {
        text += "<circle cx=\"\(place(value))\" cy=\"\(y)\" r=\"5\" fill=\"\(colours[way])\" fill-opacity=\"0.85\"/>"
      }
      text += "\n"
    }
    return text
      + "<text x=\"\(left + width / 2)\" y=\"\(bottom + 38)\" text-anchor=\"middle\">time over that of the matrix products "
      + "(σ = 10, float32, \(rows.first?.threads ?? 1) threads)</text>\n</svg>\n"
  }

  private static func short(_ value: Double) -> String {
    value.isNaN ? "–" : value >= 100 ? "\(Int(value.rounded()))" : String(format: value >= 10 ? "%.1f" : "%.2f", value)
  }

  private static func time(_ value: Double) -> String {
    value >= 1 ? "\(short(value)) s" : value >= 1e-3 ? "\(short(1e3 * value)) ms" : "\(short(1e6 * value)) µs"
  }
}
