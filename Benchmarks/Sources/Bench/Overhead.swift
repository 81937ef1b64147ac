import Scorefield

/// What drawing times and evaluating schedules at them costs, each of a batch; nothing of it is PyTorch's.
let times = Comparison(
  title: "Times of a batch of 1,024, per time", rounds: 3, peer: Peer(script: nil, arguments: [])
) {
  func nanoseconds(_ name: String, _ work: () -> Void) -> Figure {
    Figure(name: name, value: seconds(work) * 1e9 / 1024, unit: "ns")
  }
  var generator = Generator(seed: 0)
  let schedules: [(String, any NoiseSchedule)] = [
    ("vp", .variancePreserving), ("edm", .edm), ("flow", .flowMatching), ("ddpm", .linearDDPM),
  ]
  return [
    nanoseconds("uniform, at once") { _ = Tensor.uniform([1024], using: &generator).doubles },
    nanoseconds("uniform, one by one") {
      for _ in 0..<1024 { _ = Double.random(in: 0..<1, using: &generator) }
    },
  ]
    + schedules.flatMap { name, schedule in
      let (low, high) = (schedule.timeRange.lowerBound, schedule.timeRange.upperBound)
      let times = Tensor.uniform([1024], using: &generator).doubles.map { low + (high - low) * $0 }
      return [
        nanoseconds("kernel(at:) of \(name)") { _ = times.map { schedule.kernel(at: $0) } },
        nanoseconds("kernels(at:) of \(name)") { _ = schedule.kernels(at: times) },
      ]
    }
}

/// What an operation costs from Swift and from Python: the same operations, one thread.
let overhead = Comparison(
  title: "Overhead per operation, one thread", rounds: 3, peer: Peer(script: "overhead.py", arguments: [])
) {
  var generator = Generator(seed: 0)
  func random(_ shape: Int...) -> Tensor { .normal(shape, type: .float32, using: &generator) }
  func nanoseconds(_ name: String, _ work: () -> Void) -> Figure {
    Figure(name: name, value: seconds(runs: 7, work) * 1e9, unit: "ns")
  }

  let sizes = [2, 128, 128, 128, 128, 2]
  let weights = zip(sizes, sizes.dropFirst()).flatMap { input, output in
    [random(output, input) * (1 / Double(input).squareRoot()), Tensor.zeros([output], type: .float32)]
  }
  func network(_ x: Tensor, _ weights: [Tensor]) -> Tensor {
    var h = x
    for layer in stride(from: 0, to: weights.count - 2, by: 2) {
      h = h.linear(weights[layer], bias: weights[layer + 1]).silu()
    }
    return h.linear(weights[weights.count - 2], bias: weights[weights.count - 1])
  }

  let (one, other, a, b) = (random(1), random(1), random(64, 64), random(64, 64))
  return [
    nanoseconds("add.1") { _ = one + other },
    nanoseconds("add.64x64") { _ = a + b },
    nanoseconds("matmul.64x64") { _ = a.matmul(b) },
  ]
    + [64, 1024].flatMap { batch in
      let (x, target) = (random(batch, 2), random(batch, 2))
      return [
        nanoseconds("mlp.forward.\(batch)") { _ = network(x, weights) },
        nanoseconds("mlp.step.\(batch)") {
          _ = valueAndGradients(at: weights) { (network(x, $0) - target).squared().mean() }
        },
      ]
    }
}
