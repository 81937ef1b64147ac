import Foundation
import Scorefield

/// What one evaluation of a likelihood's right-hand side costs: the same network, probe and tolerances as torchdiffeq's.
func likelihood(batch: Int) -> Comparison {
  Comparison(
    title: "Likelihood of a network with one Hutchinson probe, B = \(batch), one thread", rounds: 3,
    peer: Peer(script: "likelihood.py", arguments: ["--batch", "\(batch)", "--runs", "3"])
  ) {
    let model = SplitMixNetwork()
    let x = splitMix(7, [batch, 2], scale: 2, shift: -1).to(.float32)
    let trace = Hutchinson(VJPFisher(model), probes: 1, seed: 0)
    var evaluations = 1
    let time = seconds(runs: 3) {
      evaluations =
        logLikelihood(of: x, under: model, trace: trace, from: 0.002, to: 80, solver: .dopri5()).evaluations
    }
    return [Figure(name: "likelihood.float32.\(batch)", value: time / Double(evaluations), unit: "s")]
  }
}

/// The peer's network: an MLP of x and log σ, 3 → 128 → 128 → 128 → 128 → 2 with SiLU, wrapped as EDM wraps it.
private struct SplitMixNetwork: Denoiser {
  let schedule: any NoiseSchedule = .edm
  private let layers: [(weight: Tensor, bias: Tensor)]

  init() {
    let sizes = [3, 128, 128, 128, 128, 2]
    layers = zip(sizes, sizes.dropFirst()).enumerated().map { index, size in
      let root = 3.0.squareRoot()
      let weight = splitMix(1000 + 2 * index, [size.1, size.0], scale: 2 * root, shift: -root)
      let bias = splitMix(1001 + 2 * index, [size.1], scale: 0.2, shift: -0.1)
      return ((weight / Double(size.0).squareRoot()).to(.float32), bias.to(.float32))
    }
  }

  func denoise(_ x: Tensor, at t: Double) -> Tensor {
    let (noise, data) = (t * t, 0.25)
    let time = Tensor.full([x.batch, 1], log(t) / 4, type: x.elementType)
    var h = Tensor.concatenated([x * (1 / (noise + data).squareRoot()), time], 1)
    for layer in layers.dropLast() { h = h.linear(layer.weight, bias: layer.bias).silu() }
    let last = layers[layers.count - 1]
    let output = h.linear(last.weight, bias: last.bias)
    return (data / (noise + data)) * x + (noise * data / (noise + data)).squareRoot() * output
  }
}

/// Tests/Golden/splitmix.py's stream of a seed, uniform on [shift, shift + scale).
private func splitMix(_ seed: Int, _ shape: [Int], scale: Double, shift: Double) -> Tensor {
  let values = (1...UInt64(shape.reduce(1, *))).map { index in
    var z = UInt64(seed) &+ index &* 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return Double((z ^ (z >> 31)) >> 11) * 0x1p-53
  }
  return scale * Tensor(values, shape: shape) + shift
}
