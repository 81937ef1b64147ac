import Scorefield

extension Outcome {
  /// What came in the way.
  var words: String {
    switch self {
    case .converged: "nothing"
    case .stepLimit: "the steps ran out"
    case .notFinite: "NaN or infinity"
    }
  }

  /// Says what came of an integration that did not reach its end as it should; nothing where it did.
  func warn(of results: String) {
    switch self {
    case .converged: break
    case .stepLimit:
      Terminal.say("scorefield: warning: \(results) did not get to their end, \(words); loosen the tolerances")
    case .notFinite:
      Terminal.say("scorefield: warning: \(results) hold \(words); take more steps, or another solver")
    }
  }
}
