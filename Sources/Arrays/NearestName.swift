/// The name among others that was probably meant, or `nil` where none is near.
///
/// Near means: fewer than half of the longer name's characters have to be inserted, removed or replaced. Names beyond
/// 200 bytes are not considered, so that hostile ones cost no time.
///
/// - Cost: `O(n·l²)` for `n` names of length `l`.
package func nearestName(to name: String, in names: some Sequence<String>) -> String? {
  let limit = 200
  let wanted = Array(name.utf8)
  guard wanted.count <= limit else { return nil }
  return
    names.lazy
    .map { (name: $0, characters: Array($0.utf8.prefix(limit + 1))) }
    .filter { $0.characters.count <= limit }
    .map { (name: $0.name, length: max($0.characters.count, wanted.count), edits: edits($0.characters, wanted)) }
    .filter { 2 * $0.edits < $0.length }
    .min { $0.edits < $1.edits }?.name
}

/// The Levenshtein distance.
private func edits(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var row = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      (diagonal, row[j + 1]) = (row[j + 1], min(row[j] + 1, row[j + 1] + 1, diagonal + (x == y ? 0 : 1)))
    }
  }
  return row[b.count]
}
