#pragma once
#include <string>
namespace nlohmann {
class json {
 public:
  json();
  template <class T>
  json(const T &);
  std::string dump() const;
  static json parse(const std::string &);
  template <class T>
  T get() const;
};
}  // namespace nlohmann
