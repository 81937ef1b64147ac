import Foundation
import ScorefieldArrays
import Testing

@Suite struct FileTests {
  @Test("of several files all are written or none")
  func several() throws {
    try inTemporaryFolder { folder in
      try put([1], at: "\(folder)/a")
      #expect(throws: ArrayFileError.self) {
        try AtomicFile.write([([Bytes([2])], "\(folder)/a"), ([Bytes([3])], "\(folder)/none/b")])
      }
      #expect(try names(in: folder) == ["a"] && contents(of: "\(folder)/a") == [1])
      try AtomicFile.write([([Bytes([2])], "\(folder)/a"), ([Bytes([3])], "\(folder)/b")])
      #expect(try Set(names(in: folder)) == ["a", "b"] && contents(of: "\(folder)/a") == [2])
    }
  }

  @Test("an error is one line that names the file, the problem and the repair")
  func oneLine() {
    let error = ArrayFileError("a\nb.npy", .badData, "has 'x\u{1B}[2J'\u{2028}", repair: "write it again")
    #expect(
      error.description == "a\\u{0A}b.npy: has 'x\\u{1B}[2J'\\u{2028}; write it again".replacing("u{0A}", with: "n"))
    #expect(error.category == .badData)
  }

  @Test("a mapped file has the bytes of the file, also after the file is gone")
  func mapping() throws {
    try inTemporaryFolder { folder in
      let path = "\(folder)/a"
      try put([1, 2, 3], at: path)
      let bytes = try Bytes(mapping: path)
      try FileManager.default.removeItem(atPath: path)
      #expect(bytes.withUnsafeBytes(Array.init) == [1, 2, 3])
      #expect(bytes[1..<3].withUnsafeBytes(Array.init) == [2, 3])
    }
  }

  @Test("what cannot be mapped says why")
  func unmappable() throws {
    try inTemporaryFolder { folder in
      try put([], at: "\(folder)/empty.npy")
      mkfifo("\(folder)/pipe", 0o600)
      let expected: [(String, ArrayFileError.Category, String)] = [
        ("missing.npy", .missing, "no such file; check the path"),
        ("empty.npy/x", .missing, "no such file; check the path"),
        ("empty.npy", .badData, "is empty; write it again"),
        ("", .badData, "is a folder; give the path of a file"),
        ("pipe", .badData, "is not a regular file; give the path of a file"),
        (
          String(repeating: "x", count: 300), .badData,
          "cannot be opened (File name too long); check the path and its permissions"
        ),
      ]
      for (name, category, sentence) in expected {
        let path = "\(folder)/\(name)"
        let error = #expect(throws: ArrayFileError.self) { try Bytes(mapping: path) }
        #expect(error?.description == "\(path): \(sentence)")
        #expect(error?.category == category)
      }
    }
  }

  @Test("a written file holds its parts and leaves nothing beside it")
  func write() throws {
    try inTemporaryFolder { folder in
      try AtomicFile.write([Bytes([1, 2]), Bytes([]), Bytes([3])], to: "\(folder)/a")
      #expect(try contents(of: "\(folder)/a") == [1, 2, 3])
      #expect(try names(in: folder) == ["a"])
    }
  }

  @Test("a file written over another keeps its permissions and its symbolic links, and spares who reads the old one")
  func replace() throws {
    try inTemporaryFolder { folder in
      try put([1, 2, 3], at: "\(folder)/a")
      chmod("\(folder)/a", 0o600)
      symlink("a", "\(folder)/link")
      let old = try Bytes(mapping: "\(folder)/a")
      try AtomicFile.write([Bytes([9])], to: "\(folder)/link")
      #expect(try contents(of: "\(folder)/a") == [9])
      #expect(old.withUnsafeBytes(Array.init) == [1, 2, 3])
      let attributes = try FileManager.default.attributesOfItem(atPath: "\(folder)/a")
      #expect(attributes[.posixPermissions] as? Int == 0o600)
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/link") == "a")
    }
  }

  @Test("what cannot be written says why and leaves nothing behind")
  func unwritable() throws {
    try inTemporaryFolder { folder in
      try FileManager.default.createDirectory(atPath: "\(folder)/b", withIntermediateDirectories: false)
      mkfifo("\(folder)/pipe", 0o600)
      let expected = [
        ("missing/a", "its folder does not exist; make the folder first"),
        ("b", "is a folder; give the path of a file"),
        ("pipe", "is not a regular file; give the path of a file"),
        (
          String(repeating: "x", count: 300),
          "cannot be written (File name too long); check the folder and its permissions"
        ),
      ]
      for (name, sentence) in expected {
        let path = "\(folder)/\(name)"
        let error = #expect(throws: ArrayFileError.self) { try AtomicFile.write([Bytes([1])], to: path) }
        #expect(error?.description == "\(path): \(sentence)")
        #expect(error?.category == .cannotWrite)
      }
      #expect(try names(in: folder).sorted() == ["b", "pipe"])
    }
  }
}
