import Foundation
import Scorefield

/// The exact field of N points of dimension d at B queries in float32, over noise levels: against the matrix products it is made
/// of, and against the ways one would write it in PyTorch and NumPy.
func exactField(
  points count: Int, dimension: Int, batch: Int, threads: Int = 1, levels: [Double] = [0.1, 1, 10, 80],
  rounds: Int = 3, of given: Tensor? = nil
) -> Comparison {
  var sizes = ["--points", "\(count)", "--dimension", "\(dimension)", "--batch", "\(batch)", "--threads", "\(threads)"]
  if let given {
    let file = FileManager.default.temporaryDirectory.appending(component: "points-\(count)-\(dimension).npy")
    do { try NPY.write(given.hostArray, to: file.path) } catch { fatalError("\(error)") }
    sizes += ["--file", file.path]
  }
  return Comparison(
    title:
      "Exact field, N = \(count), d = \(dimension), B = \(batch), \(threads) threads (mean and log density by noise level)",
    rounds: rounds, peer: Peer(script: "exact_field.py", arguments: sizes + levels.flatMap { ["--sigma", "\($0)"] })
  ) {
    let before = Threads.count
    defer { Threads.count = before }
    Threads.count = threads
    var generator = Generator(seed: 0)
    let data = given ?? 2 * Tensor.uniform([count, dimension], type: .float32, using: &generator) - 1
    let v = 2 * Tensor.uniform([batch, dimension], type: .float32, using: &generator) - 1
    let chosen = data.selecting(Tensor((0..<batch).map { $0 * 7919 % count }))
    let noise = Tensor.normal([batch, dimension], type: .float32, using: &generator)
    var figures: [Figure] = []

    do {
      let weights = Tensor.uniform([batch, count], type: .float32, using: &generator)
      let products = seconds(runs: 3) { _ = (chosen.matmul(data.transposed), weights.matmul(data)) }
      figures.append(Figure(name: "gemm", value: products, unit: "s"))
    }
    var model: EmpiricalDenoiser?
    figures.append(
      Figure(name: "setting up memory", value: growth { model = EmpiricalDenoiser(data: data, on: .edm) }, unit: "MB"))
    for (index, sigma) in levels.enumerated() {
      let x = chosen + sigma * noise
      if index == 0 {
        let grown = growth { _ = model!.posterior(x, at: sigma, along: v) }
        figures.append(Figure(name: "ours memory, with F v", value: grown, unit: "MB"))
      }
      let products = figures[0].value
      let mean = seconds(runs: 3) { _ = model!.posterior(x, at: sigma) }
      let all = seconds(runs: 3) { _ = model!.posterior(x, at: sigma, along: v) }
      let name = sigma == sigma.rounded() ? "\(Int(sigma))" : "\(sigma)"
      figures += [
        Figure(name: "\(name) ours", value: mean, unit: "s"),
        Figure(name: "\(name) ours, of gemm's rate", value: products / mean, unit: "share"),
        Figure(name: "\(name) ours, trace and F v", value: all, unit: "s"),
        Figure(name: "\(name) trace and F v over gemm", value: all / products, unit: "ratio"),
      ]
    }
    return figures
  }
}

/// All digits at all digits, with noise: grey levels in [−1, 1].
func exactFieldOfDigits() -> Comparison {
  guard let digits = try? NPYFile("Data/digits.npy") else { fatalError("run in the package's folder") }
  let points = Tensor(digits.array).to(.float32).flattened / 8 - 1
  return exactField(points: points.batch, dimension: 64, batch: points.batch, of: points)
}

/// What a call adds to the resident memory at its peak, MB; nothing where the system does not tell.
func growth(_ work: () -> Void) -> Double {
  func status(_ key: String) -> Double? {
    guard let text = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
      let line = text.split(separator: "\n").first(where: { $0.hasPrefix(key) }),
      let number = line.split(whereSeparator: { !$0.isNumber }).first.flatMap({ Double($0) })
    else { return nil }
    return number / 1024
  }
  // What was freed before must not hide what is taken now.
  typealias Trim = @convention(c) (Int) -> Int32
  if let trim = dlsym(nil, "malloc_trim") { _ = unsafeBitCast(trim, to: Trim.self)(0) }
  try? Data("5".utf8).write(to: URL(filePath: "/proc/self/clear_refs"))
  let before = status("VmRSS")
  work()
  guard let before, let peak = status("VmHWM") else { return .nan }
  return peak - before
}
