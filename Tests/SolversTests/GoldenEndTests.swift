import Foundation
import Scorefield
import Testing

/// Ends that the specification prints for ten steps of the mixture in a plane.
@Suite struct GoldenEndTests {
  struct Printed: Sendable, CustomStringConvertible {
    let description: String
    let evaluations: Int
    let end: [Double]
    let run: @Sendable (Tensor, TimeGrid, any Denoiser) -> Tensor

    static func of<S: Solver>(
      _ name: String, _ evaluations: Int, _ solver: S, _ end: [Double]
    ) -> Printed where S.Field == any Denoiser {
      .init(description: name, evaluations: evaluations, end: end) { integrate($0, along: $1, with: solver, in: $2) }
    }
    static func of<S: Solver>(
      _ name: String, _ evaluations: Int, _ solver: S, _ end: [Double]
    ) -> Printed where S.Field == any VelocityField {
      .init(description: name, evaluations: evaluations, end: end) {
        integrate($0, along: $1, with: solver, in: ProbabilityFlow($2))
      }
    }
  }

  static let printed: [Printed] = [
    .of("C9.2b Euler in t", 10, .euler, [1.443917933499, -0.583124088928]),
    .of("CA.1 Heun in t", 20, .heun, [1.557520687587, -0.495610899926]),
    .of("C9.2a DDIM", 10, .ddim, [1.476530292161, -0.490948368391]),
    .of("C9.3b AB-DEIS-1", 10, .deis(1), [1.557323765808, -0.493364232821]),
    .of("C9.3b AB-DEIS-2", 10, .deis(2), [1.582231899558, -0.488034703663]),
    .of("C9.3b AB-DEIS-3", 10, .deis(3), [1.590141668746, -0.483067603088]),
    .of("C9.4b DPM-Solver-1", 10, .dpmSolver1, [1.476530292161, -0.490948368391]),
    .of("C9.4d DPM-Solver-2, algorithm 5", 20, .dpmSolver2, [1.595938251058, -0.496798306720]),
    .of("C9.4d DPM-Solver-2, γ = 1/2", 20, .dpmSolver2(node: 0.5), [1.584753084548, -0.495575280490]),
    .of("C9.4d DPM-Solver-2, γ = 1", 20, .dpmSolver2(node: 1), [1.600013204621, -0.500711516304]),
    .of("C9.4e DPM-Solver-3", 30, .dpmSolver3, [1.577734770705, -0.492483765540]),
    .of("C9.4g exponential Heun", 20, .exponentialHeun, [1.599448742411, -0.509694182165]),
    .of("C9.4g Heun in λ", 20, .heunInHalfLogSNR, [1.563435934041, -0.497704763968]),
    .of("C9.5b DPM-Solver++(2S)", 20, .dpmSolverPlusPlus2S, [1.566542191789, -0.493886037763]),
    .of("C9.5c DPM-Solver++(2M)", 10, .dpmSolverPlusPlus2M, [1.600932324271, -0.493355760901]),
    .of("C9.5c DPM-Solver++(2M), exact β", 10, .dpmSolverPlusPlus2MExact, [1.615181269075, -0.493053115566]),
  ]

  @Test("Spec: C9.1a the grid of ten steps is the printed one")
  func grid() {
    let printed = [
      0.9, 0.832888703333, 0.760003922395, 0.679728697518, 0.589884880267, 0.488156215323, 0.374690946938,
      0.258744462821, 0.160107900596, 0.091647245522, 0.05,
    ]
    for (time, expected) in zip(PlaneFlow.vp.halfLogSNRGrid(10).times, printed) {
      #expect(abs(time - expected) < 1e-12)
    }
  }

  @Test(
    "Spec: C9.2a C9.3b C9.4b C9.4d C9.4e C9.4g C9.5b C9.5c ends and evaluations are the printed ones",
    arguments: printed)
  func end(_ printed: Printed) {
    let world = PlaneFlow.vp
    let counted = CountedDenoiser(world.denoiser)
    let end = printed.run(world.start[..<1], world.halfLogSNRGrid(10), counted)
    for (value, expected) in zip(end.doubles, printed.end) { #expect(abs(value - expected) < 1e-9, "\(end.doubles)") }
    #expect(counted.counter.count == printed.evaluations)
  }

  @Test("Spec: C9.3b weights of DEIS on unequal steps are the printed ones")
  func weights() {
    let grid = PlaneFlow.vp.halfLogSNRGrid(10)
    let weights = ExponentialAdamsBashforth.deis(2).weights(
      from: grid.times[2], to: grid.times[3], after: [grid.times[1], grid.times[0]], on: .variancePreserving)
    let expected = [-1.5079149637023117, 1.0884582969451342, -0.3668731572153998]
    for (weight, printed) in zip(weights, expected) { #expect(abs(weight - printed) < 1e-12, "\(weights)") }
    let flow = ExponentialAdamsBashforth.deis(1).weights(from: 0.5, to: 0.4, after: [0.6], on: .flowMatching)
    for (weight, printed) in zip(flow, [-0.2939293407637276, 0.0939293407637277]) {
      #expect(abs(weight - printed) < 1e-12, "\(flow)")
    }
  }
}
