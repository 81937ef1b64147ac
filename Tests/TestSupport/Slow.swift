import Foundation
import Testing

extension Tag {
  /// Takes longer than a few seconds; runs in `make test-all`.
  @Tag package static var slow: Self
}

extension Trait where Self == ConditionTrait {
  /// Runs only when all tests were asked for.
  package static var whenAllTestsRun: Self {
    .enabled(if: ProcessInfo.processInfo.environment["SCOREFIELD_SLOW_TESTS"] == "1", "make test-all runs it")
  }
}
