import Scorefield

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

/// What a training may do with a folder.
enum TrainingFolder {
  /// Refuses what would be lost, and what cannot be written, before anything is computed.
  static func check(_ folder: CheckpointFolder, resumes: Bool) throws {
    guard !folder.path.isEmpty else {
      throw Failure.option("--out", "is empty", repair: "give the name of a folder")
    }
    try checkWritable(folder.path)
    let hasState = try folder.hasState()
    guard resumes || !hasState && !folder.hasConfiguration && !folder.hasModel else {
      throw Failure.option(
        "--out", "\(folder.path) holds a model already", repair: "add --resume, or give another folder")
    }
    guard hasState || !folder.hasModel else {
      throw Failure.option(
        "--resume", "\(folder.path) holds a model but no state to go on from, and would lose it",
        repair: "restore its state folder, or give another --out")
    }
  }

  /// The folder, or the nearest one around it that is there, must take files.
  private static func checkWritable(_ path: String) throws(Failure) {
    var place = path
    while true {
      var status = stat()
      if stat(place, &status) == 0 {
        guard status.st_mode & S_IFMT == S_IFDIR else {
          throw Failure(.cannotWrite, place, "is not a folder", repair: "give another path, or move that file away")
        }
        guard access(place, W_OK | X_OK) == 0 else {
          throw Failure(.cannotWrite, place, "cannot be written to", repair: "check the folder and its permissions")
        }
        return
      }
      guard let slash = place.lastIndex(of: "/"), place != "/" else {
        if place == "." { return }
        place = "."
        continue
      }
      place = slash == place.startIndex ? "/" : String(place[..<slash])
    }
  }
}
