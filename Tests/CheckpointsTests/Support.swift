import Foundation
import Scorefield

/// What a test writes beside its tensors.
struct Note: Codable, Sendable, Equatable {
  var text = "a \"note\"\n"
  var loss = 0.1
  var counts = [3, 1]
}

/// A state all of whose numbers are its step, so that a mixture of two would show.
func uniformState(_ step: Int, count: Int = 10) -> [(name: String, tensor: Tensor)] {
  [
    ("weight", .full([count, 3], Double(step), type: .float32)), ("moments.0", .full([count], Double(step))),
    ("generator", Generator(seed: UInt64(step)).saved),
  ]
}

/// Whether the tensors are those of the step.
func isUniform(_ tensors: [String: Tensor], _ step: Int, count: Int = 10) -> Bool {
  let expected = Dictionary(uniqueKeysWithValues: uniformState(step, count: count))
  return Set(tensors.keys) == Set(expected.keys)
    && expected.allSatisfy { name, tensor in
      tensors[name]!.elementType == tensor.elementType && tensors[name]!.isIdentical(to: tensor)
    }
}

/// The names in a folder, hidden ones too, sorted.
func names(in folder: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
}

func contents(of path: String) throws -> [UInt8] { try Array(Data(contentsOf: URL(filePath: path))) }
func put(_ bytes: [UInt8], at path: String) throws { try Data(bytes).write(to: URL(filePath: path)) }
