/// An option's value of the form `name`, `name:count` or `name:key=value,…`.
struct OptionValue {
  let name: String
  private let option: String
  /// What follows the colon.
  private let rest: String?

  init(_ text: String, of option: String) throws(Failure) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    (self.name, self.option, self.rest) = (parts[0], option, parts.count > 1 ? parts[1] : nil)
    guard rest != "" else {
      throw .option(
        option, "'\(text)' says nothing after its colon", repair: "leave the colon out, or give what follows it")
    }
  }

  /// The values of named parameters, in their order; the standard ones where nothing is said.
  func numbers(_ parameters: [(key: String, standard: Double)]) throws(Failure) -> [Double] {
    var values = parameters.map(\.standard)
    var said: Set<Int> = []
    for pair in rest?.split(separator: ",", omittingEmptySubsequences: false) ?? [] {
      let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let index = parameters.firstIndex(where: { $0.key == sides[0] }) else {
        let known = parameters.isEmpty ? "takes none" : "has \(parameters.map(\.key).joined(separator: ", "))"
        throw .option(option, "'\(sides[0])' is no parameter of '\(name)'", repair: "'\(name)' \(known)")
      }
      guard sides.count == 2, let value = Double(sides[1]), value.isFinite else {
        throw .option(
          option, "'\(pair)' gives \(sides[0]) no number", repair: "write \(sides[0])=\(parameters[index].standard)")
      }
      guard said.insert(index).inserted else {
        throw .option(option, "'\(sides[0])' is said twice", repair: "say it once")
      }
      values[index] = value
    }
    return values
  }

  /// The word a parameter is given, one of a few; nil where nothing is said.
  func choice(_ key: String, of words: [String]) throws(Failure) -> String? {
    guard let rest else { return nil }
    guard let word = words.first(where: { rest == "\(key)=\($0)" }) else {
      let known = words.map { "\(name):\(key)=\($0)" }.joined(separator: " or ")
      throw .option(option, "'\(rest)' is no parameter of '\(name)'", repair: "write \(known)")
    }
    return word
  }

  /// The count after the colon; the standard one where nothing is said.
  func count(standard: Int) throws(Failure) -> Int {
    guard let rest else { return standard }
    guard let count = Int(rest), count > 0, count <= 1_000_000 else {
      throw .option(option, "'\(rest)' is no count from 1 to 1000000", repair: "write \(name):\(standard)")
    }
    return count
  }

  /// Refuses anything after the name.
  func alone() throws(Failure) {
    guard rest == nil else {
      throw .option(option, "'\(name)' takes nothing after a colon", repair: "write \(name)")
    }
  }
}
