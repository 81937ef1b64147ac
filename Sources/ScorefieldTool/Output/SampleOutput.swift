import Scorefield
import ScorefieldImages

/// Where samples go: arrays, or one picture of them all.
struct SampleOutput {
  private enum Kind {
    case arrays(ArrayOutput)
    case picture(String)
  }
  private let kind: Kind

  init(_ path: String) throws(Failure) {
    if ArrayOutput.fileExtension(of: path) == "png" {
      try ArrayOutput.checkWritable(path)
      kind = .picture(path)
    } else {
      kind = .arrays(try ArrayOutput(path, single: "samples", others: ".png"))
    }
  }

  /// Refuses a picture of what is none.
  func check(_ sampleShape: [Int]) throws(Failure) {
    guard case .picture(let path) = kind else { return }
    guard sampleShape.count == 2 || sampleShape.count == 3 && (sampleShape[2] == 3 || sampleShape[0] == 3) else {
      throw .option(
        "--out", "\(path) is a picture and samples have shape \(sampleShape)",
        repair: "give a name ending in .npy or .safetensors")
    }
  }

  /// The file that holds the samples.
  func file(of samples: Tensor) throws(ArrayFileError) -> OutputFile {
    switch kind {
    case .arrays(let output): return try output.file(of: [("samples", samples)], single: "samples")
    case .picture(let path):
      let images = samples.rank == 4 && samples.shape[3] != 3 ? samples.permuted(0, 2, 3, 1) : samples
      let columns = Int(Double(images.batch).squareRoot().rounded(.up))
      return OutputFile([try PNG.encode(Picture.plain(images, columns: columns), name: path)], path)
    }
  }
}
