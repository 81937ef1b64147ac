import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Every method has the order it claims, and the limit it must have, on a Gaussian and on a mixture.
@Suite struct ConvergenceTests {
  /// How the steps are spread, and between which noise-to-signal ratios.
  enum Spread: CaseIterable {
    case time, halfLogSNR

    /// Steps equal in time are too long near the data on a schedule whose time is its noise level.
    var ratios: (near: Double, far: Double) { self == .time ? (0.3, 4) : (0.1, 5) }

    func grid(_ steps: Int, _ schedule: any NoiseSchedule, _ from: Double, _ to: Double) -> TimeGrid {
      switch self {
      case .time: .uniform(steps, over: schedule, from: from, to: to)
      case .halfLogSNR: .uniformHalfLogSNR(steps, over: schedule, from: from, to: to)
      }
    }
  }

  /// Points near the data.
  static let points = [-2.3, -1.6, 0.7, 1.1, 2.5]

  /// What ever more steps, each time twice as many, miss.
  struct Errors {
    /// The largest errors.
    let all: [(steps: Int, error: Double)]
    /// Their leading terms.
    ///
    /// Errors are sums of powers of the step from the order on. Where the first two are of opposite sign an error crosses
    /// zero, near which its slope says nothing; two errors tell the first power apart.
    let leading: [(steps: Int, error: Double)]
    /// The error of the limit they extrapolate to.
    let limit: Double

    /// From what each number of steps misses.
    init(of ends: [Tensor], _ order: Int, _ steps: [Int]) {
      func sizes(_ errors: [Tensor]) -> [(steps: Int, error: Double)] {
        zip(steps, errors).map { ($0, $1.abs().max().item) }
      }
      all = sizes(ends)
      // 2^{p+1} e(h/2) − e(h) is c h^p where e(h) is c h^p + c′ h^{p+1}; an order below p it leaves as it is.
      leading = sizes(zip(ends, ends.dropFirst()).map { pow(2, Double(order + 1)) * $1 - $0 })
      // Richardson's extrapolation removes the powers from the order on, one by one.
      var (table, power) = (ends, Double(order))
      while table.count > 1 {
        table = zip(table, table.dropFirst()).map { (pow(2, power) * $1 - $0) / (pow(2, power) - 1) }
        power += 1
      }
      limit = table[0].abs().max().item
    }
  }

  static func errors(
    of claim: SolverClaim, on flow: LineFlow, _ spread: Spread, backwards: Bool = false, steps: [Int]
  ) throws -> Errors {
    let near = flow.schedule.time(atNoiseToSignal: spread.ratios.near)
    let far = flow.schedule.time(atNoiseToSignal: spread.ratios.far)
    let (from, to) = backwards ? (near, far) : (far, near)
    let start = Tensor(flow.carry(points, from: near, to: from), shape: [5, 1])
    let exact = Tensor(flow.carry(points, from: near, to: to), shape: [5, 1])
    let denoiser = try flow.denoiser()
    let ends = steps.map { claim.run(start, spread.grid($0, flow.schedule, from, to), denoiser) - exact }
    return Errors(of: ends, claim.order, steps)
  }

  /// The slope where there is one: above rounding.
  static func order(_ errors: [(steps: Int, error: Double)]) -> Double {
    observedOrder(errors.filter { $0.error > 1e-11 }.suffix(2))
  }

  static func check(_ claim: SolverClaim, _ schedule: any NoiseSchedule, backwards: Bool = false, steps: [Int]) throws {
    for flow in [LineFlow.gauss(on: schedule), .mixture(on: schedule)] {
      for spread in Spread.allCases {
        let errors = try errors(of: claim, on: flow, spread, backwards: backwards, steps: steps)
        let order = order(errors.leading)
        #expect(order > Double(claim.order) - 0.2, "\(flow.means), \(spread): observed \(order), \(errors)")
        #expect(errors.limit < 1e-8, "\(flow.means), \(spread): the limit is \(errors.limit) off")
      }
    }
  }

  @Test(
    "Spec: BA.1 C9.6 orders and limits are as claimed, on grids of time and of λ", arguments: SolverClaim.all)
  func order(_ claim: SolverClaim) throws {
    try Self.check(claim, .variancePreserving, steps: [1, 2, 4, 8, 16].map { $0 * claim.firstSteps })
  }

  @Test(
    "Spec: BA.1 C9.6 orders and limits are as claimed on every kind of schedule, towards the data and back",
    .tags(.slow), .whenAllTestsRun, arguments: SolverClaim.all + SolverClaim.variants, ["vp", "edm", "flow"])
  func orderEverywhere(_ claim: SolverClaim, _ name: String) throws {
    for backwards in claim.isForTheDataOnly ? [false] : [false, true] {
      try Self.check(
        claim, NamedSchedule.named(name), backwards: backwards,
        steps: [1, 2, 4, 8, 16, 32].map { $0 * claim.firstSteps })
    }
  }

  @Test("the pairs of Dormand–Prince and Bogacki–Shampine have their orders")
  func pairs() throws {
    try Self.check(SolverClaim.pairs[0], .variancePreserving, steps: [10, 20, 40, 80])
    try Self.check(
      .velocity("Bogacki–Shampine", 3, 3, .bogackiShampine), .variancePreserving, steps: [20, 40, 80, 160, 320])
  }

  /// The order on the mixture in a plane, from the ends the specification prints.
  @Test(
    "Spec: C9.2a C9.3b C9.4c C9.4d C9.4e C9.4g C9.5a C9.5b C9.5c the order test of the four schedules",
    arguments: SolverClaim.all, PlaneFlow.all)
  func plane(_ claim: SolverClaim, _ world: PlaneFlow) {
    let steps = (claim.order == 3 ? 40 : 80)...(claim.order == 3 ? 160 : 320)
    let errors = [steps.lowerBound, steps.upperBound].map { n in
      (steps: n, error: distance(claim.run(world.start, world.halfLogSNRGrid(n), world.denoiser), world.end))
    }
    let order = observedOrder(errors)
    #expect(order > Double(claim.order) - 0.25, "observed \(order), \(errors)")
  }

  @Test(
    "Spec: C9.3b C9.4d C9.5c orders and limits of the variants are as claimed", .tags(.slow), .whenAllTestsRun,
    arguments: SolverClaim.variants)
  func variants(_ claim: SolverClaim) throws {
    try order(claim)
    for world in PlaneFlow.all { plane(claim, world) }
  }

  @Test("Spec: C9.1a the flow of the mixture in a plane ends where it is printed to", arguments: PlaneFlow.all)
  func planeEnds(_ world: PlaneFlow) {
    #expect(distance(world.end, world.printedEnd) < 1e-10)
  }

  static let multistep: [(claim: SolverClaim, capped: Int?)] = [
    (.denoiser("deis-1", 2, 1, .deis(1)), nil),
    (.denoiser("deis-2", 3, 1, .deis(2)), 2),
    (.denoiser("deis-3", 4, 1, .deis(3)), 2),
    (.denoiser("dpm-solver++-3m", 3, 1, .dpmSolverPlusPlus3M.starting(by: .lowerOrder)), 2),
  ]

  @Test(
    "Spec: C9.3b E13 multistep methods have their order from exact starts, and a first-order start caps it",
    arguments: multistep.indices)
  func exactStarts(_ index: Int) throws {
    let (claim, capped) = Self.multistep[index]
    for flow in [LineFlow.gauss(on: .flowMatching), .mixture(on: .flowMatching)] {
      let near = flow.schedule.time(atNoiseToSignal: 0.3)
      let far = flow.schedule.time(atNoiseToSignal: 4)
      func state(_ t: Double) -> Tensor {
        Tensor(flow.carry(Self.points, from: near, to: t), shape: [5, 1])
      }
      let denoiser = try flow.denoiser()
      let steps = claim.order == 4 ? [160, 320, 640] : [40, 80, 160, 320]
      let grids = steps.map { TimeGrid.uniform($0, over: flow.schedule, from: far, to: near) }
      func order(_ end: (TimeGrid) -> Tensor) -> Double {
        Self.order(zip(steps, grids).map { ($0, distance(end($1), state(near))) })
      }
      let exact = order { grid in claim.runFrom(grid.times.prefix(claim.order).map(state), grid, denoiser) }
      #expect(exact > Double(claim.order) - 0.2, "\(flow.means): observed \(exact)")
      if let capped {
        let published = order { claim.run(state(far), $0, denoiser) }
        #expect(abs(published - Double(capped)) < 0.25, "\(flow.means): observed \(published) with the published start")
      }
    }
  }
}
