import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct MetricsLogTests {
  private struct Record: Encodable {
    var step: Int
    var loss: Double
    var learning_rate = 1e-4
  }

  @Test("each record is a line of JSON, there when the call returns")
  func lines() throws {
    try withTemporaryFolder { folder in
      let log = try MetricsLog("\(folder)/metrics.jsonl", keeping: .empty)
      try log.append(Record(step: 1, loss: 0.25))
      #expect(try text(of: log.path) == "{\"learning_rate\":0.0001,\"loss\":0.25,\"step\":1}\n")
      #expect(log.offset == 46)
      try log.append(Record(step: 2, loss: .nan))
      try log.append(["a/b": -Double.infinity])
      try log.synchronize()
      #expect(
        try text(of: log.path) == """
          {"learning_rate":0.0001,"loss":0.25,"step":1}
          {"learning_rate":0.0001,"loss":"NaN","step":2}
          {"a/b":"-Infinity"}

          """)
      #expect(try log.offset == contents(of: log.path).count)
      #expect(try MetricsLog(log.path, keeping: .empty).offset == 0 && contents(of: log.path) == [])
    }
  }

  @Test("a log that goes on from a state is the log of a training that never stopped")
  func resuming() throws {
    try withTemporaryFolder { folder in
      let whole = try MetricsLog("\(folder)/whole", keeping: .empty)
      for step in 1...9 { try whole.append(Record(step: step, loss: 1 / Double(step))) }

      for beginning in [MetricsLog.Beginning.offset(0), .step(4)] {
        let path = "\(folder)/stopped"
        let first = try MetricsLog(path, keeping: .empty)
        for step in 1...4 { try first.append(Record(step: step, loss: 1 / Double(step))) }
        let offset = first.offset
        for step in 5...7 { try first.append(Record(step: step, loss: -1)) }
        // Killed within a line.
        try put(contents(of: path) + Array("{\"learning_ra".utf8), at: path)

        let second = try MetricsLog(path, keeping: beginning == .offset(0) ? .offset(offset) : beginning)
        #expect(second.offset == offset)
        for step in 5...9 { try second.append(Record(step: step, loss: 1 / Double(step))) }
        #expect(try contents(of: path) == contents(of: whole.path))
      }
    }
  }

  @Test("by steps, whole lines are kept up to the first that is later, odd or not finished")
  func steps() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/m"
      let cases: [(String, Int, String)] = [
        ("{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n", 2, "{\"step\":1}\n{\"step\":2}\n"),
        ("{\"step\":1}\n{\"step\":2}", 2, "{\"step\":1}\n"),
        ("{\"step\":1}\nx\n{\"step\":2}\n", 2, "{\"step\":1}\n"),
        ("\n{\"step\":1}\n", 2, ""), ("{\"step\":1}\n", 0, ""), ("", 9, ""),
        ("{\"step\":0}\n{\"step\":0,\"a\":1}\n", 0, "{\"step\":0}\n{\"step\":0,\"a\":1}\n"),
      ]
      for (before, last, after) in cases {
        try put(before, at: path)
        let log = try MetricsLog(path, keeping: .step(last))
        #expect(try text(of: path) == after && log.offset == after.utf8.count)
      }
    }
  }

  @Test("a log that is gone begins anew, one that is another is an error and stays as it is")
  func others() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/m"
      #expect(try MetricsLog(path, keeping: .offset(100)).offset == 0)
      try put("{}\n{}\n", at: path)
      let short = #expect(throws: ArrayFileError.self) { try MetricsLog(path, keeping: .offset(7)) }
      #expect(
        short?.description == "\(path): has 6 bytes, but had 7 when the state was saved; "
          + "remove it to begin a new one, or restore the file that training wrote")
      let odd = #expect(throws: ArrayFileError.self) { try MetricsLog(path, keeping: .offset(4)) }
      #expect(
        odd?.description == "\(path): has no line that ends at byte 4, where one did when the state was saved; "
          + "remove it to begin a new one, or restore the file that training wrote")
      #expect(odd?.category == .badData)
      #expect(try text(of: path) == "{}\n{}\n")
      #expect(try MetricsLog(path, keeping: .offset(6)).offset == 6)
      #expect(try MetricsLog(path, keeping: .offset(3)).offset == 3)
      #expect(try MetricsLog(path, keeping: .offset(0)).offset == 0)
    }
  }

  @Test("what cannot be written says why")
  func unwritable() throws {
    try withTemporaryFolder { folder in
      mkfifo("\(folder)/pipe", 0o600)
      let expected = [
        ("", "is a folder; give the path of a file"), ("none/m", "its folder does not exist; make the folder first"),
        ("pipe", "is not a regular file; give the path of a file"),
      ]
      for (name, sentence) in expected {
        let error = #expect(throws: ArrayFileError.self) { try MetricsLog("\(folder)/\(name)", keeping: .empty) }
        #expect(error?.description == "\(folder)/\(name): \(sentence)")
        #expect(error?.category == .cannotWrite)
      }
    }
  }

  @Test("a line that does not fit is taken back, and shorter ones go on")
  func full() async {
    await #expect(processExitsWith: .success) {
      try withTemporaryFolder { folder in
        let log = try MetricsLog("\(folder)/m", keeping: .empty)
        try log.append(["step": 1])
        forbidFiles(beyond: 24)
        do throws(ArrayFileError) {
          try log.append(["something long": 1])
          exit(1)
        } catch {
          let expected = "\(folder)/m: cannot be written (File too large); check the folder and its permissions"
          guard error.description == expected else { exit(2) }
        }
        guard log.offset == 11 else { exit(3) }
        try log.append(["step": 2])
        guard try text(of: log.path) == "{\"step\":1}\n{\"step\":2}\n" else { exit(4) }
      }
    }
  }
}
