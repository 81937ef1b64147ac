import CScorefieldEngine

/// Processes (or threads) that compute together, each with a rank, over Gloo.
///
/// All members make the same calls in the same order; each call waits for the others.
public final class ProcessGroup: @unchecked Sendable {
  // Sound: libtorch's group locks its queue; the handle never changes.
  private let handle: ct_group
  public let rank: Int
  public let size: Int

  /// How the members find each other: the same value for all.
  public enum Rendezvous: Sendable {
    /// A file that does not exist yet, on a disk all members see.
    case file(String)
    /// An address of rank 0's machine.
    case tcp(host: String, port: Int)

    fileprivate var name: String {
      switch self {
      case .file(let path): "file:\(path)"
      case .tcp(let host, let port): "tcp:\(host):\(port)"
      }
    }
  }

  public enum Reduction: Int32, Sendable { case sum, product, minimum, maximum }

  /// Joins a group, and waits until all members have.
  ///
  /// - Parameters:
  ///   - rendezvous: Where the members meet.
  ///   - rank: This member, from 0.
  ///   - size: How many there are.
  ///   - timeout: How long a call waits for the others, in seconds.
  /// - Throws: ``ProcessGroupError`` when the members do not meet.
  public init(_ rendezvous: Rendezvous, rank: Int, size: Int, timeout: Double = 60) throws(ProcessGroupError) {
    var group: ct_group?
    let status = Engine.api.group_create(rendezvous.name, Int32(rank), Int32(size), Int64(timeout * 1000), &group)
    guard status == CT_OK, let group else {
      throw ProcessGroupError(member: rank, words: Engine.failure)
    }
    (self.handle, self.rank, self.size) = (group, rank, size)
  }

  deinit { Engine.api.group_release(handle) }

  /// The sum (product, …) of the members' tensors, which have equal shapes.
  public func reduced(_ tensor: Tensor, by reduction: Reduction = .sum) throws(ProcessGroupError) -> Tensor {
    try one { Engine.api.group_reduce(handle, tensor.handle, reduction.rawValue, $0) }
  }

  /// The tensor of one member, for all.
  public func broadcast(_ tensor: Tensor, from root: Int) throws(ProcessGroupError) -> Tensor {
    try one { Engine.api.group_broadcast(handle, tensor.handle, Int32(root), $0) }
  }

  /// The tensors of all members, in the order of their ranks.
  public func gathered(_ tensor: Tensor) throws(ProcessGroupError) -> [Tensor] {
    var found = [ct_tensor?](repeating: nil, count: size)
    try check(Engine.api.group_gather(handle, tensor.handle, &found))
    return found.map { Tensor(owning: $0!) }
  }

  /// Waits until all members are here.
  public func barrier() throws(ProcessGroupError) { try check(Engine.api.group_barrier(handle)) }

  private func one(_ call: (UnsafeMutablePointer<ct_tensor?>) -> ct_status) throws(ProcessGroupError) -> Tensor {
    var result: ct_tensor?
    try check(call(&result))
    return Tensor(owning: result!)
  }

  private func check(_ status: ct_status) throws(ProcessGroupError) {
    guard status == CT_OK else {
      throw ProcessGroupError(member: rank, words: Engine.failure)
    }
  }
}

/// A group that did not come together, or lost a member.
public struct ProcessGroupError: Error, Equatable, CustomStringConvertible {
  public let member: Int
  public let problem: String

  /// From Gloo's words, but for its advice.
  init(member: Int, words: String) {
    let fact = words.firstRange(of: ". This is typically").map { words[..<$0.lowerBound] } ?? words[...]
    (self.member, problem) = (member, String(fact.last == "." ? fact.dropLast() : fact))
  }

  public var description: String {
    "process group, member \(member): \(problem); check that all members run and use the same rendezvous"
  }
}
