import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// From noise to data and back.
@Suite struct InversionTests {
  static func thereAndBack<S: Solver>(_ solver: S, _ world: PlaneFlow, _ grid: TimeGrid, from start: Tensor) -> (
    there: Tensor, back: Tensor
  ) where S.Field == any Denoiser {
    var memory = solver.makeMemory()
    let there = integrate(start, along: grid, with: solver, in: world.denoiser, memory: &memory)
    return (there, integrate(there, along: grid.reversed, with: solver, in: world.denoiser, memory: &memory))
  }

  @Test("exact inversions come back to where they started, from the noise and from the data", arguments: PlaneFlow.all)
  func exact(_ world: PlaneFlow) {
    let data = Tensor(rows: [[1.3, -0.4], [-1.2, 1.1], [0.1, 0.1]])
    func check<S: Solver>(_ solver: S) where S.Field == any Denoiser {
      for grid in [world.halfLogSNRGrid(20), world.timeGrid(25)] {
        let (there, back) = Self.thereAndBack(solver, world, grid, from: world.start)
        #expect(distance(back, world.start) < 1e-12, "\(solver): \(distance(back, world.start))")
        #expect(distance(there, world.end) < 0.5, "\(solver): \(distance(there, world.end))")
        let again = Self.thereAndBack(solver, world, grid.reversed, from: data).back
        #expect(distance(again, data) < 1e-12, "\(solver), from the data: \(distance(again, data))")
      }
    }
    check(.edict)
    check(.bdia)
    check(.belm)
  }

  @Test("rounding on the way back of bdia grows with its weight's inverse")
  func weights() {
    let world = PlaneFlow.vp
    let back = Self.thereAndBack(BDIA(weight: 0.9), world, world.halfLogSNRGrid(20), from: world.start).back
    #expect(distance(back, world.start) < 1e-12 * pow(0.9, -20))
  }

  @Test("what edict's two states differ by shrinks by p² towards the data and grows by 1/p² towards the noise")
  func growth() {
    let edict = EDICT(mixing: 0.9)
    // Noise that is the same everywhere moves both states alike; a step in another field sets them apart.
    let same = SolverLaws.PolynomialNoise(degree: 0)
    for (end, factor) in [(1.8, 0.81), (2.2, 1 / 0.81)] {
      var memory = edict.makeMemory()
      let x = edict.step(
        Tensor(rows: [[0.5, -0.25]]), from: 2.5, to: 2, in: PlaneFlow.edm.denoiser, memory: &memory)
      let before = x - memory.partner!
      #expect(before.abs().min().item > 1e-3)
      let after = edict.step(x, from: 2, to: end, in: same, memory: &memory) - memory.partner!
      expectClose(after, factor * before, within: 1e-13)
    }
  }

  @Test("plain inversion comes back the nearer the more steps there are, to the method's order")
  func plain() {
    let world = PlaneFlow.vp
    func order<S: Solver>(_ solver: S) -> Double where S.Field == any Denoiser {
      observedOrder(
        [80, 160, 320].map { n in
          let end = integrate(world.start, along: world.halfLogSNRGrid(n), with: solver, in: world.denoiser)
          let back = integrate(end, along: world.halfLogSNRGrid(n).reversed, with: solver, in: world.denoiser)
          return (steps: n, error: distance(back, world.start))
        })
    }
    #expect(order(.ddim) > 0.8)
    #expect(order(.dpmSolver2) > 1.8)
    #expect(order(.deis(1)) > 1.8)
  }

  @Test("a step of edict, bdia and belm is its formula")
  func formulas() {
    let world = PlaneFlow.vp
    let times = [0.6, 0.5, 0.35]
    let k = world.schedule.kernels(at: times)
    let (x, before, field) = (Tensor(rows: [[0.5, -0.25]]), Tensor(rows: [[0.4, -0.3]]), world.denoiser)
    func ddim(_ x: Tensor, _ i: Int, _ j: Int, along noise: Tensor) -> Tensor {
      (k[j].alpha / k[i].alpha) * x + (k[j].sigma - k[i].sigma * k[j].alpha / k[i].alpha) * noise
    }
    // EDICT, p = 0.8, where the standard is the paper's 0.93.
    #expect(EDICT().mixing == 0.93 && BDIA().weight == 1)
    let edict = EDICT(mixing: 0.8)
    var pair = edict.makeMemory()
    let found = edict.step(x, from: times[0], to: times[1], in: field, memory: &pair)
    let first = ddim(x, 0, 1, along: field.noise(x, at: times[0]))
    let second = ddim(x, 0, 1, along: field.noise(first, at: times[0]))
    let end = 0.8 * first + 0.2 * second
    expectClose(found, end, within: 1e-13)
    expectClose(pair.partner!, 0.8 * second + 0.2 * end, within: 1e-13)

    func secondStep<S: Solver>(_ solver: S) -> Tensor where S.Field == any Denoiser {
      var memory = solver.makeMemory()
      _ = solver.step(before, from: times[0], to: times[1], in: field, memory: &memory)
      return solver.step(x, from: times[1], to: times[2], in: field, memory: &memory)
    }
    let noise = field.noise(x, at: times[1])
    expectClose(
      secondStep(BDIA(weight: 0.7)),
      ddim(x, 1, 2, along: noise) + 0.7 * (before - ddim(x, 1, 0, along: noise)), within: 1e-13)
    let h = k[2].noiseToSignal - k[1].noiseToSignal
    let r = h / (k[1].noiseToSignal - k[0].noiseToSignal)
    let y = r * r * before / k[0].alpha + (1 - r * r) * x / k[1].alpha + h * (1 + r) * noise
    expectClose(secondStep(.belm), k[2].alpha * y, within: 1e-13)
  }
}
