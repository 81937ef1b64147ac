import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct ProcessGroupTests {
  enum Meeting: String, CaseIterable, Sendable, Codable { case file, tcp }

  /// Runs both members of a group of two, each on a thread.
  static func withPair<R: Sendable>(
    _ meeting: Meeting, _ body: @escaping @Sendable (ProcessGroup) throws -> R
  ) throws -> [R] {
    try withTemporaryFolder { folder in
      let rendezvous: ProcessGroup.Rendezvous =
        meeting == .file ? .file("\(folder)/meeting") : .tcp(host: "127.0.0.1", port: try freePort())
      return try concurrently(2) { rank in
        Result { try body(ProcessGroup(rendezvous, rank: rank, size: 2, timeout: 20)) }
      }
      .map { try $0.get() }
    }
  }

  /// A port nobody listens on.
  static func freePort() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        bind(descriptor, address, length) | getsockname(descriptor, address, &length)
      }
    }
    try #require(status == 0)
    return Int(UInt16(bigEndian: address.sin_port))
  }

  @Test("members know their rank and the group's size", arguments: Meeting.allCases)
  func ranks(_ meeting: Meeting) throws {
    #expect(try Self.withPair(meeting) { [$0.rank, $0.size] } == [[0, 2], [1, 2]])
  }

  @Test(
    "every reduction, in every type, gives the same to both and leaves its argument alone",
    arguments: Meeting.allCases, [ElementType.float32, .float64, .int64])
  func reductions(_ meeting: Meeting, _ type: ElementType) throws {
    let results = try Self.withPair(meeting) { group in
      let own = Tensor(rows: [[3, -2, 5], [7, 4, -6]])[group.rank].to(type)
      let found = try [ProcessGroup.Reduction.sum, .product, .minimum, .maximum].map { try group.reduced(own, by: $0) }
      #expect(found.allSatisfy { $0.elementType == type && $0.shape == [3] })
      #expect(try group.reduced(own).isIdentical(to: found[0]), "the sum is the standard")
      #expect(own.doubles == [[3, -2, 5], [7, 4, -6]][group.rank])
      return found.map(\.doubles)
    }
    for found in results { #expect(found == [[10, 2, -1], [21, -8, -30], [3, -2, -6], [7, 4, 5]]) }
  }

  @Test("broadcasting and gathering, also of what is not row-major", arguments: Meeting.allCases)
  func exchange(_ meeting: Meeting) throws {
    let results = try Self.withPair(meeting) { group in
      let own = (Tensor.arange(0..<6).reshaped(2, 3) + 10 * Double(group.rank)).transposed
      for root in 0..<2 {
        #expect(try group.broadcast(own, from: root).integers == [0, 3, 1, 4, 2, 5].map { $0 + 10 * root })
      }
      let all = try group.gathered(own)
      #expect(all.map(\.shape) == [[3, 2], [3, 2]])
      try group.barrier()
      return all.map(\.integers)
    }
    for found in results { #expect(found == [[0, 3, 1, 4, 2, 5], [10, 13, 11, 14, 12, 15]]) }
  }

  @Test("a barrier waits for the last member")
  func barrier() throws {
    let times = try Self.withPair(.file) { group in
      if group.rank == 1 { Thread.sleep(forTimeInterval: 0.3) }
      let arrived = ContinuousClock.now
      try group.barrier()
      return [arrived, ContinuousClock.now]
    }
    #expect(times[0][1] >= times[1][0])
  }

  @Test("who waits for a member that never comes is told within the timeout", arguments: Meeting.allCases)
  func alone(_ meeting: Meeting) throws {
    try withTemporaryFolder { folder in
      let rendezvous: ProcessGroup.Rendezvous =
        meeting == .file ? .file("\(folder)/meeting") : .tcp(host: "127.0.0.1", port: try Self.freePort())
      let start = ContinuousClock.now
      let error = #expect(throws: ProcessGroupError.self) {
        _ = try ProcessGroup(rendezvous, rank: 0, size: 2, timeout: 1)
      }
      let waited = start.duration(to: .now)
      #expect(waited > .milliseconds(500) && waited < .seconds(10), "\(waited)")
      #expect(error?.member == 0)
      let words = error?.description ?? ""
      #expect(
        words.hasPrefix(
          meeting == .file
            ? "process group, member 0: Wait timeout;"
            : "process group, member 0: Timed out after 2 seconds waiting for clients. 1/2 clients joined;"), "\(words)"
      )
      #expect(
        words.hasSuffix("; check that all members run and use the same rendezvous") && !words.contains("\n"), "\(words)"
      )
    }
  }

  @Test("who loses a member later is told too")
  func lost() throws {
    let errors = try Self.withPair(.file) { group -> ProcessGroupError? in
      if group.rank == 1 { return nil }
      do throws(ProcessGroupError) {
        _ = try group.reduced(Tensor([1.0]))
        return nil
      } catch { return error }
    }
    #expect(errors[0] != nil && errors[1] == nil)
    let words = errors[0]?.description ?? ""
    #expect(words.contains("Connection ") && !words.contains("GLHF"), "\(words)")
  }

  @Test("two processes reduce together")
  func processes() async throws {
    let port = try Self.freePort()
    async let first: Void = Self.member(0, port)
    async let second: Void = Self.member(1, port)
    _ = await (first, second)
  }

  private static func member(_ rank: Int, _ port: Int) async {
    await #expect(processExitsWith: .success) { [rank, port] in
      let group = try ProcessGroup(.tcp(host: "127.0.0.1", port: port), rank: rank, size: 2, timeout: 30)
      let sum = try group.reduced(Tensor([1.0, 2]) * Double(rank + 1))
      #expect(sum.doubles == [3, 6])
      #expect(try group.gathered(Tensor([Int(getpid())])).map { $0.integers[0] }[rank] == Int(getpid()))
      try group.barrier()
    }
  }
}
