import Scorefield
import ScorefieldTestSupport
import Testing

/// Every method has the order it claims, and the limit it must have, on a Gaussian and on a mixture.
@Suite struct ConvergenceTests {
  struct Claim: Sendable, CustomStringConvertible {
    let description: String
    let order: Double
    /// The first of the step counts, each twice the last, and the most there may be.
    let steps: ClosedRange<Int>
    /// The most the error may be at the last of them.
    let error: Double
    let run: @Sendable (Tensor, TimeGrid, any Denoiser) -> Tensor

    /// The errors of ever more steps, as long as they are above rounding.
    func errors(_ error: (Int) -> Double) -> [(steps: Int, error: Double)] {
      var found: [(steps: Int, error: Double)] = []
      var n = steps.lowerBound
      while n <= steps.upperBound, found.last?.error ?? 1 > 1e-11 {
        found.append((n, error(n)))
        n *= 2
      }
      return found
    }

    /// A method that asks for the velocity.
    static func velocity<S: Solver>(
      _ name: String, _ order: Double, _ steps: ClosedRange<Int>, _ error: Double, _ solver: S
    ) -> Claim where S.Field == any VelocityField {
      Claim(description: name, order: order, steps: steps, error: error) {
        integrate($0, along: $1, with: solver, in: ProbabilityFlow($2))
      }
    }
    /// A method that asks for the denoiser.
    static func denoiser<S: Solver>(
      _ name: String, _ order: Double, _ steps: ClosedRange<Int>, _ error: Double, _ solver: S
    ) -> Claim where S.Field == any Denoiser {
      Claim(description: name, order: order, steps: steps, error: error) {
        integrate($0, along: $1, with: solver, in: $2)
      }
    }
  }

  static let claims: [Claim] = [
    .velocity("euler", 1, 160...640, 5e-2, .euler),
    .denoiser("ddim", 1, 160...640, 5e-2, .ddim),
    .velocity("heun", 2, 80...320, 2e-3, .heun),
    .velocity("Bogacki–Shampine", 3, 10...160, 1e-4, .bogackiShampine),
    .velocity("rk4", 4, 10...160, 2e-6, .rk4),
    .velocity("Dormand–Prince", 5, 8...256, 2e-11, .dormandPrince),
  ]

  static let schedules = NamedSchedule.all.filter { ["vp", "edm", "flow"].contains($0.name) }
  /// Points near the data.
  static let points = [-2.3, -1.6, 0.7, 1.1, 2.5]

  @Test("Spec: BA.1 orders and limits are as claimed, towards the data and back", arguments: claims, schedules)
  func order(_ claim: Claim, _ named: NamedSchedule) throws {
    let near = named.schedule.time(atNoiseToSignal: 0.1)
    let far = named.schedule.time(atNoiseToSignal: 5)
    for flow in [LineFlow.gauss(on: named.schedule), .mixture(on: named.schedule)] {
      let denoiser = try flow.denoiser()
      for (from, to) in [(far, near), (near, far)] {
        let start = flow.carry(Self.points, from: near, to: from)
        let exact = flow.carry(Self.points, from: near, to: to)
        let errors = claim.errors { n in
          let grid = TimeGrid((0...n).map { $0 == n ? to : from + (to - from) * Double($0) / Double(n) })
          return largestError(claim.run(Tensor(start, shape: [5, 1]), grid, denoiser), exact)
        }
        let order = observedOrder(errors.suffix(2))
        let last = errors[errors.count - 1].error
        #expect(order > claim.order - 0.2, "\(flow.means), \(from) → \(to): observed \(order)")
        #expect(last < claim.error, "\(flow.means), \(from) → \(to): error \(last)")
      }
    }
  }
}
