import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct FixedStepTests {
  /// `dx/dt = A x`.
  struct Linear: VelocityField {
    let matrix: Tensor
    func velocity(_ x: Tensor, at t: Double) -> Tensor { x.matmul(matrix.transposed) }
  }

  @Test("Spec: BA.1 a step of rk4 for dx/dt = −x is the Taylor series to the fourth power")
  func taylor() {
    let field = Linear(matrix: Tensor(rows: [[-1]]))
    let h = 0.5
    var memory = NoMemory()
    let next = RungeKutta.rk4.step(Tensor(rows: [[1]]), from: 0, to: h, in: field, memory: &memory)
    #expect(abs(next.item - (1 - h + h * h / 2 - h * h * h / 6 + h * h * h * h / 24)) < 1e-15)
  }

  @Test("Spec: BA.1 the linear field of B5.5 ends where its exponential does, and comes back")
  func linear() {
    let field = Linear(matrix: Tensor(rows: [[-0.5, 0.3], [-0.2, 0.4]]))
    let grid = TimeGrid((0...64).map { Double($0) / 64 })
    let end = integrate(Tensor(rows: [[1, -1]]), along: grid, with: .rk4, in: field)
    #expect(largestError(end, [0.289326205647, -1.6529018966118]) < 1e-8)
    let back = integrate(end, along: grid.reversed, with: .rk4, in: field)
    #expect(largestError(back, [1, -1]) < 1e-8)
  }

  /// The errors from 1 to 0.01 that the specification prints, at 64 and at 512 steps.
  struct Printed: Sendable, CustomStringConvertible {
    let description: String
    let solver: RungeKutta
    let coarse, fine: Double
  }

  static let printed: [Printed] = [
    .init(description: "Euler", solver: .euler, coarse: 4.807e-3, fine: 5.761e-4),
    .init(description: "Heun", solver: .heun, coarse: 2.407e-4, fine: 3.704e-6),
    .init(description: "RK4", solver: .rk4, coarse: 6.76e-9, fine: 1.7e-12),
  ]

  @Test("Spec: BA.1 errors of the Gaussian's flow are those of B4.8", arguments: printed)
  func errors(_ printed: Printed) throws {
    let world = LineFlow.gauss(on: .variancePreserving)
    let exact = world.carry([0.9], from: 1, to: 0.01)
    #expect(abs(exact[0] - 1.862830932640) < 1e-11)
    for (steps, expected) in [(64, printed.coarse), (512, printed.fine)] {
      let grid = TimeGrid.uniform(steps, over: world.schedule, from: 1, to: 0.01)
      let end = integrate(
        Tensor(rows: [[0.9]]), along: grid, with: printed.solver, in: ProbabilityFlow(try world.denoiser()))
      let error = abs(end.item - 1.862830932640)
      // The last digit printed; the twelve digits of the exact value are good for 5e−13.
      #expect(abs(error - expected) < 2e-3 * expected + 1e-12, "\(steps) steps: \(error)")
    }
  }

  @Test(
    "Spec: B4.13 Euler's steps carry mean and variance of the Gaussian as printed",
    arguments: [
      (100, 0.698365038338, 1.687214495410), (1000, 0.699807228732, 1.689662524315),
    ])
  func moments(_ steps: Int, _ mean: Double, _ variance: Double) throws {
    let world = LineFlow.gauss(on: .variancePreserving)
    let kernel = world.schedule.kernel(at: 1)
    let grid = TimeGrid.uniform(steps, over: world.schedule, from: 1, to: 1e-3)
    // On a Gaussian the whole flow is affine: two points know it.
    let ends = integrate(
      Tensor(rows: [[0], [1]]), along: grid, with: .euler, in: ProbabilityFlow(try world.denoiser())
    ).doubles
    let slope = ends[1] - ends[0]
    let startVariance = kernel.alpha * kernel.alpha * 1.69 + kernel.sigma * kernel.sigma
    #expect(abs(slope * kernel.alpha * 0.7 + ends[0] - mean) < 1e-9)
    #expect(abs(slope * slope * startVariance - variance) < 1e-9)
  }

  @Test("Spec: B6.6 DDIM is exact on one data point, in one step and in many", arguments: NamedSchedule.all)
  func point(_ named: NamedSchedule) {
    let schedule = named.schedule
    let (from, to) = (schedule.time(atNoiseToSignal: 0.7), schedule.time(atNoiseToSignal: 0.05))
    let (data, noise) = (Tensor(rows: [[1, -1]]), Tensor(rows: [[0.3, -1.4], [2, 0.1]]))
    func state(_ t: Double) -> Tensor { schedule.alpha(t) * data + schedule.sigma(t) * noise }
    for steps in [1, 7] {
      let grid = TimeGrid.uniform(steps, over: schedule, from: from, to: to)
      let model = EmpiricalDenoiser(data: data, on: schedule)
      expectClose(integrate(state(from), along: grid, with: .ddim, in: model), state(to), within: 1e-13)
      expectClose(integrate(state(to), along: grid.reversed, with: .ddim, in: model), state(from), within: 1e-12)
    }
  }

  @Test("a trajectory holds every time of its grid, the start first, and starts anew each time")
  func trajectory() {
    let grid = TimeGrid([0, 0.5, 2])
    let points = Trajectory(
      from: Tensor(rows: [[1]]), along: grid, with: .euler, in: Linear(matrix: Tensor(rows: [[1]])))
    for _ in 0..<2 {
      let all = Array(points)
      #expect(all.map(\.time) == [0, 0.5, 2])
      #expect(all.map(\.state.item) == [1, 1.5, 3.75])
    }
  }

  @Test("weights that do not sum to 1 stop the process and are named")
  func weights() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = RungeKutta.Tableau(a: [[1]], b: [0.5, 0.6])
    }
    let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(message.contains("Tableau(b: [0.5, 0.6]): weights that do not sum to 1"))
  }
}
