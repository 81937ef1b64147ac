import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct FlowConventionTests {
  @Test(
    "Spec: T0.2 coefficients are the same bits in both conventions, rates of the other sign",
    arguments: NamedSchedule.all)
  func coefficients(_ named: NamedSchedule) {
    let flow = FlowConvention(named.schedule)
    let range = named.schedule.timeRange
    for step in 1..<64 {
      // Multiples of a power of two, at which T − t is exact.
      let t = (range.upperBound * 64).rounded(.down) / 64 * Double(step) / 64
      let tau = flow.reversed(t)
      let kernel = named.schedule.kernel(at: t)
      #expect(flow.reversed(tau) == t)
      #expect(flow.source(tau) == kernel.sigma && flow.target(tau) == kernel.alpha)
      #expect(flow.sourceRate(tau) == -kernel.sigmaRate && flow.targetRate(tau) == -kernel.alphaRate)
    }
  }

  @Test("Spec: T0.2 the source is at 0 and the target at the end")
  func ends() {
    let flow = FlowConvention(.flowMatching)
    #expect(flow.duration == 1 && flow.source(0.25) == 0.75 && flow.target(0.25) == 0.25)
    #expect(FlowConvention(.edm).duration == 100 && FlowConvention(.linearDDPM).duration == 999)
    #expect(FlowConvention(.edm, duration: 80).reversed(30) == 50)
  }
}
