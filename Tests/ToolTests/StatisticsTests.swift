import Testing

@testable import ScorefieldTool

@Suite struct StatisticsTests {
  @Test("equal values share their rank")
  func ranks() {
    #expect(Statistics.ranks([3, 1, 3, 2]) == [2.5, 0, 2.5, 1])
  }

  @Test("Spearman's correlation asks for order alone, and is 0 beside what never changes")
  func spearman() {
    #expect(Statistics.spearman([1, 2, 3, 4], [1, 10, 100, 1000]) == 1)
    #expect(Statistics.spearman([1, 2, 3, 4], [4, 3, 2, 1]) == -1)
    #expect(Statistics.spearman([1, 2, 3], [5, 5, 5]) == 0)
    // Ranks 0 1 2 3 against 1 0 3 2: 1 − 6·4/(4·15).
    #expect(abs(Statistics.spearman([1, 2, 3, 4], [2, 1, 4, 3]) - 0.6) < 1e-12)
  }

  @Test("standard errors are those of the textbook")
  func errors() {
    #expect(abs(Statistics.standardError([1, 2, 3, 4]) - (5.0 / 3 / 4).squareRoot()) < 1e-12)
    #expect(abs(Statistics.standardError(ofShare: 0.5, of: 100) - 0.05) < 1e-12)
    #expect(Statistics.standardError(ofShare: 1, of: 100) > 0, "a share of all is not known exactly")
    #expect(abs(Statistics.twoSidedP(1.959964, standardError: 1) - 0.05) < 1e-6)
  }

  @Test("a win is a smaller number, and equal ones are half")
  func wins() {
    #expect(Statistics.wins([1, 2], over: [2, 3]) == 3.5 / 4)
  }
}
