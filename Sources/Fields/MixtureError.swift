/// Why numbers are no mixture: what is wrong, and what to do about it.
public struct MixtureError: Error, CustomStringConvertible, Equatable, Sendable {
  public let problem: String
  public let repair: String

  init(_ problem: String, repair: String) { (self.problem, self.repair) = (problem, repair) }

  public var description: String { "\(problem); \(repair)" }
}
