import Foundation
import Scorefield
import Testing

@Suite struct LearningRateTests {
  @Test("a constant rate is reached in a straight line")
  func constant() {
    let schedule = LearningRateSchedule.constant(0.2, warmup: 4)
    #expect([1, 2, 4, 5, 100].map(schedule.rate(at:)) == [0.05, 0.1, 0.2, 0.2, 0.2])
    #expect(LearningRateSchedule.constant(0.2).rate(at: 1) == 0.2)
  }

  @Test("a cosine falls from the peak to the floor, and stays there")
  func cosine() {
    let schedule = LearningRateSchedule.cosine(peak: 1, steps: 110, warmup: 10, floor: 0.1)
    #expect([1, 5, 10].map(schedule.rate(at:)) == [0.1, 0.5, 1])
    #expect(abs(schedule.rate(at: 60) - 0.55) < 1e-15)
    #expect(abs(schedule.rate(at: 35) - (0.1 + 0.45 * (1 + 0.5.squareRoot()))) < 1e-15)
    #expect(schedule.rate(at: 110) == 0.1 && schedule.rate(at: 1000) == 0.1)
    #expect(abs(LearningRateSchedule.cosine(peak: 2, steps: 100).rate(at: 50) - 1) < 1e-15)
  }

  @Test("an inverse square root holds the peak and then falls as 1/√n")
  func inverseSquareRoot() {
    let schedule = LearningRateSchedule.inverseSquareRoot(peak: 0.3, after: 100, warmup: 10)
    #expect([5, 10, 100].map(schedule.rate(at:)) == [0.15, 0.3, 0.3])
    #expect(abs(schedule.rate(at: 400) - 0.15) < 1e-16 && schedule.rate(at: 101) < 0.3)
  }

  @Test("a schedule goes through JSON")
  func coding() throws {
    let schedules: [LearningRateSchedule] = [
      .constant(1e-3), .cosine(peak: 1, steps: 10, warmup: 2, floor: 0.5), .inverseSquareRoot(peak: 1, after: 5),
    ]
    #expect(try JSONDecoder().decode([LearningRateSchedule].self, from: JSONEncoder().encode(schedules)) == schedules)
  }
}
