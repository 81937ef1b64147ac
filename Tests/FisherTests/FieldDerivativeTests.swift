import Scorefield
import ScorefieldTestSupport
import Testing

/// The exact field under differentiation, by products and by differences of its points.
@Suite struct FieldDerivativeTests {
  /// Data near the origin, and the same with a copy so far off that only explicit differences tell near points apart.
  static let spreads: [Double?] = [nil, 300]
  static let ratios = [0.0005, 0.05, 0.5]

  func world(_ far: Double?, _ ratio: Double) -> (denoiser: EmpiricalDenoiser, x: Tensor, v: Tensor, w: Tensor) {
    let near = SplitMix(seed: 1).symmetric([50, 3]) * (ratio < 0.001 ? 0.003 : 1) + 0.1
    let data = far.map { Tensor.concatenated([near, near + $0]) } ?? near
    let x = near[0..<4] + ratio * SplitMix(seed: 2).unit([4, 3])
    return (
      EmpiricalDenoiser(data: data, on: .edm), x, SplitMix(seed: 3).unit([4, 3]), SplitMix(seed: 4).unit([4, 3])
    )
  }

  @Test("Spec: F2 the exact field can be differentiated forwards and backwards", arguments: spreads, ratios)
  func first(_ far: Double?, _ ratio: Double) {
    let (denoiser, x, v, _) = world(far, ratio)
    let exact = ExactFisher(denoiser).fisher(at: x, time: ratio).matvec(v)
    expectClose(VJPFisher(denoiser).fisher(at: x, time: ratio).matvec(v), exact, within: 1e-11)
    expectClose(JVPFisher(denoiser).fisher(at: x, time: ratio).matvec(v), exact, within: 1e-11)
    func slope(_ x: Tensor) -> Tensor { gradient(at: x) { denoiser.posterior($0, at: ratio).logDensity.sum() } }
    expectClose(slope(x), denoiser.score(x, at: ratio), within: 1e-12)
    expectClose(vjp(at: x, of: slope).pullback(v), -exact, within: 1e-10)
  }

  @Test("Spec: F2 a second derivative of the exact field is the difference of first ones", arguments: spreads, ratios)
  func second(_ far: Double?, _ ratio: Double) {
    let (denoiser, x, v, w) = world(far, ratio)
    func form(_ x: Tensor) -> Tensor {
      (jvp(at: x, along: v) { denoiser.denoise($0, at: ratio) }.derivative * v).sum(-1)
    }
    let reverse = gradient(at: x) { form($0).sum() }
    let twice = gradient(at: x) { x in (vjp(at: x) { denoiser.denoise($0, at: ratio) }.pullback(v) * v).sum() }
    let h = 1e-4 * ratio
    let difference = (form(x + h * w) - form(x - h * w)) / (2 * h)
    expectClose((reverse * w).sum(-1), difference, within: 1e-6)
    expectClose(twice, reverse, within: 1e-8)
  }

  @Test(
    "Spec: F1 points without weight in the first part of the stream do no harm",
    arguments: [ElementType.float64, .float32])
  func emptyParts(_ type: ElementType) {
    let data = SplitMix(seed: 1).symmetric([20_000, 2])
    let denoiser = EmpiricalDenoiser(data: data.to(type), on: .edm)
    let x = data[3000..<3256]
    for sigma in [0.003, 0.05] {
      let found = denoiser.posterior(x.to(type), at: sigma, along: x.to(type))
      #expect(found.mean.isFinite().all() && found.covarianceTrace.isFinite().all())
      let alone = Tensor.concatenated((0..<4).map { denoiser.denoise(x[$0..<($0 + 1)].to(type), at: sigma) })
      expectClose(found.mean[0..<4], alone, within: type == .float64 ? 1e-13 : 1e-6)
    }
  }
}
