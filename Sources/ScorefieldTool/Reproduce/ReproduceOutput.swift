import Scorefield

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// The folder a reproduction writes: the page, the table and the figures, all or none.
struct ReproduceOutput {
  let folder: String
  let name: String

  /// Makes the folder, before anything is computed.
  init(_ folder: String, name: String) throws(Failure) {
    (self.folder, self.name) = (folder, name)
    if mkdir(folder, 0o777) != 0, errno != EEXIST {
      throw Failure(
        .cannotWrite, folder, "cannot be made (\(String(cString: strerror(errno))))", repair: "check the path")
    }
    try ArrayOutput.checkWritable("\(folder)/\(name).html")
  }

  func write(page: HTMLPage, table: [[String]], json: String) throws {
    func file(_ text: String, _ ending: String) -> OutputFile {
      OutputFile([Array("\(text)\n".utf8).withUnsafeBytes { Bytes(copying: $0) }], "\(folder)/\(name).\(ending)")
    }
    let csv = table.map { $0.map(Self.cell).joined(separator: ",") }.joined(separator: "\n")
    try OutputFile.write([page.file("\(folder)/\(name).html"), file(csv, "csv"), file(json, "json")])
  }

  private static func cell(_ text: String) -> String {
    text.contains { ",\"\n".contains($0) }
      ? "\"\(text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\""))\"" : text
  }
}
