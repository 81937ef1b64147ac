import RealModule
import Scorefield
import ScorefieldTestSupport
import Testing

@testable import ScorefieldTransport

/// The verdict from products alone.
@Suite struct ProbedTransportTests {
  @Test("Spec: F6 probes find the index of the matrix, bound it, and refute what it refutes")
  func dense() throws {
    let field = EmpiricalDenoiser(data: SplitMix(seed: 21).symmetric([12, 6]), on: .edm)
    let x = SplitMix(seed: 22).unit([3, 6])
    let whole = transportVerdict(at: x, under: field, fisher: ExactFisher(field), from: 1, to: 0.01)
    let probed = probedTransport(
      at: x, under: field, fisher: ExactFisher(field), from: 1, to: 0.01, pairs: 200,
      accuracy: FlowAccuracy(rtol: 1e-5))
    expectClose(probed.endpoint, whole.jacobian.endpoint, within: 1e-6)
    // 200 pairs know both means to about 10 %, and the ratio's root to half of that.
    #expect(((probed.asymmetry / whole.asymmetry - 1).abs() .< 0.25).all())
    #expect((probed.asymmetryBound .> whole.asymmetry).all())
    // Half of the risk of 5 % goes to each of the two bounds.
    let factor = (sizeRatio(probes: 400, risk: 0.025) / skewRatio(pairs: 200, risk: 0.025)).squareRoot()
    expectClose(probed.asymmetryBound, probed.asymmetry * factor, within: 1e-3)
    #expect(probed.answers == whole.answers && probed.answers == [.notOptimal, .notOptimal, .notOptimal])
    // The probes span everything.
    expectClose(probed.smallestRitzValue, whole.smallestEigenvalue, within: 1e-6)
    #expect(probed.skews.shape == [200, 3] && (probed.skewErrors .< 1e-3).all())
  }

  @Test("the bound of the index holds as often as it says, for antisymmetric parts of every rank")
  func confidence() throws {
    for rank in [2, 4, 30] {
      let (pairs, trials, dimension) = (3, 4000, 30)
      var generator = Generator(seed: UInt64(rank))
      func draw() -> Tensor { .normal([pairs, trials, dimension], using: &generator) }
      // K is a rotation of the first axes, two by two.
      let (u, v) = (draw(), draw())
      let sum = (0..<(rank / 2)).reduce(Tensor.zeros([pairs, trials])) { sum, index in
        let (a, b) = (2 * index, 2 * index + 1)
        return sum + u[Axis.all, Axis.all, a] * v[Axis.all, Axis.all, b] - u[Axis.all, Axis.all, b]
          * v[Axis.all, Axis.all, a]
      }
      for risk in [0.5, 0.1, 0.025] {
        let bound = (sum.squared().mean(0) / skewRatio(pairs: pairs, risk: risk)).sqrt()
        let missed = (bound .< Double(rank).squareRoot()).to(.float64).mean().item
        #expect(missed <= risk, "rank \(rank), risk \(risk): \(missed)")
        // No bound that gives everything away.
        #expect(rank > 2 || missed > risk / 20, "risk \(risk): \(missed)")
        // The mean of squares of the same normals, of rank one.
        let mean = u[Axis.all, Axis.all, 0].squared().mean(0)
        let above = (mean .> sizeRatio(probes: pairs, risk: risk)).to(.float64).mean().item
        #expect(above <= risk, "risk \(risk): \(above)")
      }
    }
    // Many pairs leave nothing to doubt.
    #expect(skewRatio(pairs: 1_000_000, risk: 0.025) > 0.98 && sizeRatio(probes: 1_000_000, risk: 0.025) < 1.01)
    #expect(skewRatio(pairs: 8, risk: 0.025) > 0.05)
    // 0.95 and 8 pairs, by hand: (x e^{1-x})^8 = 0.025.
    let x = sizeRatio(probes: 16, risk: 0.025)
    #expect(abs(8 * (.log(x) + 1 - x) - .log(0.025)) < 1e-9 && x > 1)
  }

  @Test("Gaussian data are called optimal once the bound is below the resolution, and not before")
  func gaussian() throws {
    let field = GaussianMixtureDenoiser(try Fixture.gauss3D(), on: .edm)
    let x = SplitMix(seed: 8).unit([2, 3])
    func look(_ accuracy: FlowAccuracy, resolution: Double = 0.01) -> ProbedTransport {
      probedTransport(
        at: x, under: field, fisher: ExactFisher(field), from: 5, to: 0.05, resolution: resolution, accuracy: accuracy)
    }
    let fine = look(FlowAccuracy(rtol: 1e-8))
    #expect(fine.answers == [.optimal, .optimal])
    #expect(fine.asymmetryBound.max().item < 1e-5 && fine.confidence == 0.95)
    #expect(look(FlowAccuracy(rtol: 1e-4), resolution: 1e-8).answers == [.undecided, .undecided])
    let stopped = look(FlowAccuracy(rtol: 1e-8, stepLimit: 2))
    #expect(stopped.outcome == .stepLimit && stopped.answers == [.undecided, .undecided])
  }
}
