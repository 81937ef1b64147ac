import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct TaylorTests {
  @Test(
    "Spec: C9.4c errors of DPM-Solver with the derivatives of the flow itself are the printed ones",
    arguments: [(2, [0.01409, 0.00284, 0.000706, 0.000175]), (3, [3.3e-3, 1.55e-4, 1.7e-5, 1.8e-6])])
  func printed(_ order: Int, _ expected: [Double]) {
    let world = PlaneFlow.vp
    let errors = zip([10, 20, 40, 80], expected).map { n, printed in
      let end = integrate(
        world.start[..<2], along: world.halfLogSNRGrid(n), with: ExponentialTaylor(.noise, order: order),
        in: world.denoiser)
      let error = distance(end, world.end[..<2])
      // Half of the last digit that is printed.
      #expect(abs(error / printed - 1) < (order == 2 ? 0.005 : 0.04), "\(n) steps: \(error)")
      return (steps: n, error: error)
    }
    #expect(abs(observedOrder(errors.suffix(2)) - Double(order)) < 0.3)
  }

  @Test("Spec: C9.5a the same series of the data's estimate has orders 2 and 3", arguments: [2, 3])
  func data(_ order: Int) {
    for world in [PlaneFlow.flow, .vp] {
      let errors = [20, 40].map { n in
        let end = integrate(
          world.start, along: world.halfLogSNRGrid(n), with: ExponentialTaylor(.data, order: order), in: world.denoiser)
        return (steps: n, error: distance(end, world.end))
      }
      #expect(observedOrder(errors) > Double(order) - 0.25, "\(world): \(errors)")
    }
  }

  @Test(
    "Spec: C9.4c the second term is the derivative of the predicted noise along the flow", arguments: Frame.allCases)
  func derivative(_ frame: Frame) {
    // The steps of orders 1 and 2 differ by h² φ₂ q^(1): the derivative by itself, against five points of the flow.
    let world = PlaneFlow.vp
    let middle = world.schedule.kernel(at: 0.5).halfLogSNR
    let times = (-2...2).map { world.schedule.time(atHalfLogSNR: middle + 0.02 * Double($0)) }
    let grid = TimeGrid([world.from] + times)
    let values = zip(world.states(grid).dropFirst(), times).map { x, t in
      frame == .data ? world.denoiser.denoise(x, at: t) : world.denoiser.noise(x, at: t)
    }
    let expected = (8 * (values[3] - values[1]) - (values[4] - values[0])) / (12 * 0.02)
    let x = world.states(grid)[3]
    let (s, step) = (
      world.schedule.time(atHalfLogSNR: middle + 0.1),
      TimeGrid([times[2], world.schedule.time(atHalfLogSNR: middle + 0.1)])
    )
    func end(_ order: Int) -> Tensor {
      integrate(x, along: step, with: ExponentialTaylor(frame, order: order), in: world.denoiser)
    }
    let kernel = world.schedule.kernel(at: s)
    // In λ either way: σ h² φ₂(h) of the noise, with its sign, and α h² φ₂(−h) of the data.
    let weight = frame == .data ? kernel.alpha * 0.01 * phi(2, -0.1) : -kernel.sigma * 0.01 * phi(2, 0.1)
    expectClose((end(2) - end(1)) / weight, expected, within: 1e-6)
  }
}
