import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// The likelihood of a network's samples, against `Benchmarks/Peers/likelihood.py`: torchdiffeq, in other coordinates, with
/// derivatives by PyTorch.
@Suite struct NetworkTests {
  /// The peer's network: an MLP of x and log σ, wrapped as EDM wraps it.
  struct Model: Denoiser {
    let schedule: any NoiseSchedule = EDMSchedule()
    let layers: [(weight: Tensor, bias: Tensor)]

    init() {
      let sizes = [3, 128, 128, 128, 128, 2]
      layers = zip(sizes, sizes.dropFirst()).enumerated().map { index, size in
        (
          SplitMix(seed: 1000 + 2 * index).unit([size.1, size.0]) / Double(size.0).squareRoot(),
          SplitMix(seed: 1001 + 2 * index).symmetric([size.1]) / 10
        )
      }
    }

    func denoise(_ x: Tensor, at t: Double) -> Tensor {
      let (variance, noise) = (0.25, t * t)
      let level = Tensor.full([x.batch, 1], log(t) / 4)
      var h = Tensor.concatenated([x / (noise + variance).squareRoot(), level], 1)
      for layer in layers.dropLast() { h = h.linear(layer.weight, bias: layer.bias).silu() }
      let output = h.linear(layers[4].weight, bias: layers[4].bias)
      return (variance / (noise + variance)) * x + (noise * variance / (noise + variance)).squareRoot() * output
    }
  }

  /// `zᵀ F z` with given signs.
  struct Signs: FisherAccess {
    let base: VJPFisher
    let z: Tensor
    struct At: FisherTrace {
      let value: Tensor
      func trace() -> Tensor { value }
    }
    func fisher(at x: Tensor, time t: Double) -> At {
      let probe = z[..<x.batch]
      return At(value: (probe * base.fisher(at: x, time: t).matvec(probe)).sum(-1))
    }
  }

  @Test("Spec: F4 the mean log-likelihood is the peer's, to 1e-8 nats")
  func peer() {
    let model = Model()
    let x = SplitMix(seed: 7).symmetric([8, 2])
    let trace = Signs(base: VJPFisher(model), z: SplitMix(seed: 8).symmetric([8, 2]).sign())
    let found = logLikelihood(
      of: x, under: model, trace: trace, from: 0.002, to: 80, solver: .dopri5(rtol: 1e-9, atol: 1e-9))
    #expect(abs(found.logLikelihood.mean().item + 2.032186725794592) < 1e-8, "\(found.logLikelihood.mean().item)")
    #expect(found.priorError == nil)
  }
}
