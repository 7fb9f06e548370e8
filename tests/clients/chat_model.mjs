// Makes a Hugging Face folder of tools/make_model fit for these tests: node chat_model.mjs FOLDER
// It gets a chat template, and loses its end token: a stream that is to be stopped must not end by itself.
import { readFileSync, writeFileSync } from 'node:fs';

function edit(name, change) {
  const file = `${process.argv[2]}/${name}`;
  const config = JSON.parse(readFileSync(file, 'utf8'));
  change(config);
  writeFileSync(file, JSON.stringify(config, null, 2));
}

edit('tokenizer_config.json', (config) => {
  // damask knows a template by its marks; these are Llama 2's, whose vocabulary the model has.
  config.chat_template = "{% for message in messages %}{{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}{% endfor %}";
  delete config.eos_token;
});
edit('config.json', (config) => { delete config.eos_token_id; });
